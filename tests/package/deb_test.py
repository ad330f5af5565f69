# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The Debian package: made of what is built, without building anything; complete, and it works.

Installing it on a clean Debian is what scripts/test-package does.
"""

import glob
import os
import shutil
import tempfile
import unittest

import harness
import installed

CPACK = os.environ["CPACK"]
SCRIPTS = ("postinst", "prerm", "postrm")


class Package(harness.MountCase):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.mkdtemp(prefix="tciafs-package-")
        cls.addClassCleanup(shutil.rmtree, cls.work, True)
        program = os.path.join(installed.BUILD_DIR, "tciafs")
        built_ns = os.stat(program).st_mtime_ns
        harness.run(CPACK, "--config", os.path.join(installed.BUILD_DIR, "CPackConfig.cmake"), "-B", cls.work,
                    cwd=cls.work)
        cls.rebuilt = os.stat(program).st_mtime_ns != built_ns
        cls.package, = glob.glob(cls.work + "/*.deb")
        cls.root = os.path.join(cls.work, "root")
        cls.control = os.path.join(cls.work, "control")
        harness.run("dpkg-deb", "--extract", cls.package, cls.root)
        harness.run("dpkg-deb", "--control", cls.package, cls.control)

    def field(self, name):
        return harness.run("dpkg-deb", "--field", self.package, name).stdout.strip()

    def test_nothing_is_built_for_it(self):
        self.assertFalse(self.rebuilt)

    def test_what_it_needs(self):
        needed = {entry.split()[0] for entry in self.field("Depends").split(",")}
        for library in ("libc6", "libfuse3-", "libcurl", "liblmdb0", "libstdc++6"):
            self.assertTrue(any(name.startswith(library) for name in needed), (library, needed))
        self.assertIn("fuse3", needed)  # fusermount3, for everybody but root
        self.assertEqual(self.field("Architecture"),
                         harness.run("dpkg", "--print-architecture").stdout.strip())

    def test_lintian(self):
        """Neither an error nor a warning."""
        done = harness.run("lintian", "--fail-on", "error,warning", self.package, check=False, timeout_s=110)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_every_file_is_listed_with_its_sum(self):
        harness.run("md5sum", "--check", "--strict", os.path.join(self.control, "md5sums"), cwd=self.root)
        with open(os.path.join(self.control, "md5sums"), encoding="utf-8") as sums:
            listed = {line.split(None, 1)[1].strip() for line in sums}
        links = {"usr/sbin/mount.tciafs"}
        self.assertEqual(listed | links, set(harness.walk_files(self.root)))
        with open(os.path.join(self.control, "conffiles"), encoding="utf-8") as conffiles:
            marked = conffiles.read().split()
        self.assertEqual(marked, ["/" + name for name in sorted(listed) if name.startswith("etc/")])

    def test_the_version_is_one(self):
        told = harness.run(self.root + "/usr/bin/tciafs", "--version").stdout.split()[1]
        self.assertEqual(self.field("Version"), told)
        changes = harness.run("zcat", self.root + "/usr/share/doc/tciafs/changelog.gz").stdout
        self.assertTrue(changes.startswith(f"tciafs ({told}) "), changes)

    def test_mounts_from_it(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(mountpoint)
        self.addCleanup(harness.detach, mountpoint)
        environment = harness.clean_environment()
        harness.run(self.root + "/usr/sbin/mount.tciafs", server.url, mountpoint, "-o",
                    f"_netdev,cache_dir={self.cache}", env=environment)
        for path, (md5, _) in server.truth("A").items():
            self.assertEqual(harness.md5_of(os.path.join(mountpoint, path)), md5)
        harness.run(self.root + "/usr/bin/tciafs", "umount", mountpoint, env=environment)
        self.assertFalse(harness.is_mounted(mountpoint))

    def test_purging_takes_what_mounts_left(self):
        root = os.path.join(self.directory, "root")
        kept = [root + "/var/cache/other", root + "/etc"]
        gone = [root + "/var/cache/tciafs", root + "/var/log/tciafs"]
        for directory in kept + gone:
            os.makedirs(directory)
        environment = dict(os.environ, DPKG_ROOT=root)
        for script, words in (("postinst", ["configure", ""]), ("prerm", ["remove"]), ("postrm", ["remove"])):
            harness.run(os.path.join(self.control, script), *words, env=environment)
        self.assertTrue(all(map(os.path.isdir, kept + gone)))
        harness.run(os.path.join(self.control, "postrm"), "purge", env=environment)
        self.assertEqual([path for path in kept + gone if os.path.isdir(path)], kept)


if __name__ == "__main__":
    harness.require_fuse()
    unittest.main(verbosity=2)
