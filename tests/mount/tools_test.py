# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The field's own programs give on a mount what they give on plain files."""

import os
import shutil
import subprocess

import harness


class Tools(harness.MountCase):
    def setUp(self):
        super().setUp()
        content = ["--synthetic", "CT:patients=1,studies=1,series=1,images=12,size=64x64"]
        for folder in harness.test_data_folders()[:1]:
            content += ["--dicom", folder + "=REAL"]
        archive = self.archive(*content)
        mount = self.mount(archive)
        series = sorted({os.path.dirname(path) for collection in os.listdir(mount.path)
                         for path in archive.truth(collection)})[:4]
        self.pairs = []  # (directory in the mount, the same as plain files)
        for number, path in enumerate(series):
            plain = os.path.join(self.directory, f"plain{number}")
            shutil.copytree(mount / path, plain)
            self.pairs.append((mount / path, plain))

    def assert_same_output(self, *command):
        """`{}` in the command is a file; compared for the first files of every series."""
        for mounted, plain in self.pairs:
            for name in sorted(os.listdir(plain))[:3]:
                outputs = []
                for directory in (mounted, plain):
                    words = [word.replace("{}", os.path.join(directory, name)) for word in command]
                    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    outputs.append(done.stdout.replace(directory.encode(), b""))
                self.assertEqual(outputs[0], outputs[1])
                self.assertTrue(outputs[0].strip())

    def test_dcmdump(self):
        self.assert_same_output("dcmdump", "{}")

    def test_gdcminfo(self):
        self.assert_same_output("gdcminfo", "{}")

    def test_pydicom(self):
        script = ("import hashlib,pydicom,sys; d=pydicom.dcmread(sys.argv[1]); print(d);"
                  "print(hashlib.md5(d.get('PixelData', b'')).hexdigest())")
        mounted, plain = self.pairs[0]
        self.pairs = [(mounted, plain)]
        self.assert_same_output("/usr/bin/python3", "-c", script, "{}")

    def test_dcm2niix(self):
        for mounted, plain in self.pairs:
            results = []
            for number, directory in enumerate((mounted, plain)):
                out = os.path.join(self.directory, f"nifti{number}")
                shutil.rmtree(out, ignore_errors=True)
                os.mkdir(out)
                harness.run("dcm2niix", "-f", "image", "-o", out, directory)
                results.append({name: harness.md5_of(os.path.join(out, name))
                                for name in os.listdir(out) if name.endswith(".nii")})
            self.assertTrue(results[0])
            self.assertEqual(results[0], results[1])

    def test_copies(self):
        for number, (mounted, plain) in enumerate(self.pairs):
            copy = os.path.join(self.directory, f"copy{number}")
            harness.run("cp", "-r", mounted, copy)
            harness.run("diff", "-r", copy, plain)
            harness.run("tar", "-C", mounted, "-cf", os.path.join(self.directory, "t.tar"), ".")


if __name__ == "__main__":
    harness.main()
