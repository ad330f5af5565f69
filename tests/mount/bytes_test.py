# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Every byte that comes out of a mount is the archive's."""

import concurrent.futures
import json
import os

import harness

SYNTHETIC = "PHANTOM:patients=4,studies=2,series=2,images=6,size=96x80"


class EveryByte(harness.MountCase):
    def assert_tree_is_true(self, archive, mount, collections):
        for collection in collections:
            truth = archive.truth(collection)
            self.assertGreater(len(truth), 0)
            paths = [os.path.join(collection, path)
                     for path in harness.walk_files(mount / collection)]
            self.assertEqual(sorted(paths), sorted(truth))
            with concurrent.futures.ThreadPoolExecutor(4) as readers:
                sums = readers.map(lambda path: harness.md5_of(mount / path), paths)
                for path, md5 in zip(paths, sums):
                    self.assertEqual(md5, truth[path][0], path)
                    self.assertEqual(os.stat(mount / path).st_size, truth[path][1], path)

    def check_family(self, family, *archive_options):
        content = ["--synthetic", SYNTHETIC, "--shuffle", *archive_options]
        collections = ["PHANTOM"]
        for folder in harness.test_data_folders():
            name = os.path.basename(folder).upper()
            content += ["--dicom", f"{folder}={name}"]
            collections.append(name)
        archive = self.archive(*content)
        mount = self.mount(archive, options=["--api", family])
        self.assert_tree_is_true(archive, mount, collections)

    def test_v4(self):
        self.check_family("v4")

    def test_v2(self):
        self.check_family("v2")

    def test_v1(self):
        self.check_family("v1")

    def test_auto_settles_on_what_there_is(self):
        for families in ("v4,v2,v1", "v2,v1", "v1"):
            with self.subTest(families=families):
                archive = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=3",
                                       "--families", families)
                mount = self.mount(archive, cache=self.cache + families)
                self.assert_tree_is_true(archive, mount, ["A"])

    def test_without_drill_down(self):
        """No exact sizes beforehand: still every byte, and exact once opened."""
        archive = self.archive("--synthetic", SYNTHETIC, "--no-drill-down")
        mount = self.mount(archive)
        self.assert_tree_is_true(archive, mount, ["PHANTOM"])

    def test_odd_names(self):
        archive = self.archive("--odd-names")
        mount = self.mount(archive)
        for collection in sorted(os.listdir(mount.path)):
            truth = archive.truth(collection_id(collection))
            for path in harness.walk_files(mount / collection):
                whole = os.path.join(collection, path)
                self.assertEqual(harness.md5_of(mount / whole), truth.pop(whole)[0], whole)
            self.assertEqual(truth, {})


def collection_id(name):
    """The archive's id behind a directory name."""
    import urllib.parse
    return urllib.parse.unquote(name)

    def test_the_head_of_an_instance_comes_with_its_opening(self):
        archive = self.archive("--synthetic", "A:patients=1,series=2,images=4,size=256x256")
        mount = self.mount(archive)
        content = {}
        for path in harness.walk_files(mount.path):
            with open(mount / path, "rb") as file:
                content[path] = file.read()
        self.assertEqual(len(content), 8)
        mount.unmount()
        mount = self.mount(archive, options=["--offline", "--ask-open", "files"])
        for path, whole in content.items():  # buffered as much as pydicom does
            with open(mount / path, "rb", buffering=8192) as file:
                self.assertEqual(file.read(4096), whole[:4096], path)
        with open(mount / ".tcia/status.json", encoding="utf-8") as file:
            self.assertEqual(json.load(file)["cache"]["reads"], 0, "no request to read was needed")
        for path, whole in content.items():
            with open(mount / path, "rb") as file:
                self.assertEqual(file.read(), whole, path)


if __name__ == "__main__":
    harness.main()
