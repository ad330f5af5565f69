# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The cache on a small file system that fills, becomes read-only, or loses the directory.

Mounts a tmpfs, so it needs to be root; without, local_calls_test.py does the same with fault points.
"""

import contextlib
import errno
import os
import shutil
import sys
import unittest

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))
import crashes  # noqa: E402

MIB = 1 << 20
DISK = 40 * MIB
# Four series of 6 MB.
SPEC = "C:patients=1,studies=1,series=4,images=3,size=1024x1024"


def free_bytes(path):
    space = os.statvfs(path)
    return space.f_bavail * space.f_frsize


@unittest.skipUnless(os.getuid() == 0, "mounts a tmpfs")
class SmallDisk(crashes.CrashCase):
    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.directory, "disk")
        os.mkdir(self.disk)
        harness.run("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tciafs-test", self.disk)
        self.addCleanup(harness.detach, self.disk)
        self.cache = os.path.join(self.disk, "cache")
        self.server = self.archive("--synthetic", SPEC, "--zip-level", 1)
        self.truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        self.allowed = {path: {md5} for path, md5 in self.truth.items()}
        self.paths = sorted(self.truth)

    def fill(self, leave=0):
        """Another program takes the space."""
        with open(os.path.join(self.disk, "other"), "ab") as file:
            with contextlib.suppress(OSError):
                while free_bytes(self.disk) > leave:
                    file.write(b"x" * min(MIB, free_bytes(self.disk) - leave))
                    file.flush()

    def empty(self):
        os.unlink(os.path.join(self.disk, "other"))

    def remount(self, mode):
        harness.run("mount", "-o", f"remount,{mode}", self.disk)

    def start(self, *options):
        mount = self.faulty_mount(self.server, options=options)
        harness.walk_files(mount.path)
        return mount

    def read(self, mount, paths, errors=()):
        right = 0
        for path in paths:
            try:
                self.assertEqual(harness.md5_of(mount / path), self.truth[path], path)
                right += 1
            except OSError as failure:
                self.assertIn(failure.errno, errors, f"{failure}\n{mount.log()[-3000:]}")
        return right

    def finish(self, mount):
        mount.unmount()
        self.check_survivors(self.server, self.allowed)

    def test_full_while_downloading(self):
        mount = self.start("--min-free", "0")
        self.read(mount, self.paths[:3])
        self.fill()
        self.assertLess(free_bytes(self.disk), 4096)
        # What can be evicted makes room, or memory takes it; where neither, it says so.
        self.read(mount, self.paths, (errno.ENOSPC,))
        self.empty()
        self.recovers(mount)
        self.finish(mount)

    def recovers(self, mount):
        """By itself, within the time failures are remembered."""
        for path in self.paths:
            harness.wait_for(lambda path=path: crashes.read_or_none(mount / path) == self.truth[path],
                             path, timeout_s=90)

    def test_full_at_the_start(self):
        mount = self.start()
        self.read(mount, self.paths[:3])
        mount.unmount()
        self.fill()
        full = self.start()
        # The floor may cost the cache what it has.
        self.read(full, self.paths, (errno.ENOSPC,))
        self.empty()
        self.recovers(full)
        self.finish(full)

    def test_full_before_the_first_start(self):
        self.fill()
        with self.assertRaisesRegex(AssertionError, "mount ended with 6.*No space left on device"):
            self.start()
        self.empty()
        mount = self.start()
        self.assertEqual(self.read(mount, self.paths[:3]), 3)
        self.finish(mount)

    def test_the_floor_holds_while_others_fill_the_disk(self):
        floor = 8 * MIB
        mount = self.start("--min-free", floor)
        for number, path in enumerate(self.paths):
            if number == 4:
                self.fill(leave=floor + 3 * MIB)
            before = free_bytes(self.disk)
            self.read(mount, [path], (errno.ENOSPC,))
            self.assertGreaterEqual(free_bytes(self.disk), min(before, floor), path)
        self.finish(mount)

    def test_read_only_in_the_run(self):
        mount = self.start()
        self.read(mount, self.paths[:3])
        # Files open for writing keep a file system writable; nothing is being downloaded now, but the
        # stores are open, so it is the directory that turns read-only.
        harness.run("mount", "--bind", self.cache, self.cache)
        self.addCleanup(harness.detach, self.cache)
        harness.run("mount", "-o", "remount,ro,bind", self.cache)
        self.assertEqual(self.read(mount, self.paths), len(self.paths))
        self.assertEqual(os.statvfs(mount.path).f_namemax > 0, True)
        mount.unmount()
        harness.detach(self.cache)
        self.check_survivors(self.server, self.allowed, {path: self.truth[path]
                                                         for path in self.paths[:3]})

    def test_read_only_at_the_start(self):
        mount = self.start()
        self.read(mount, self.paths[:3])
        mount.unmount()
        self.remount("ro")
        with self.assertRaisesRegex(AssertionError, "mount ended with 6.*Read-only file system"):
            self.start()
        self.remount("rw")
        again = self.start("--offline")
        self.assertEqual(self.read(again, self.paths[:3]), 3)
        self.finish(again)

    def test_deleted_in_the_run(self):
        for what in ("", "images", "images/series", "images/index", "catalog"):
            with self.subTest(deleted=what or "everything"):
                shutil.rmtree(self.cache, ignore_errors=True)
                mount = self.start()
                self.read(mount, self.paths[:4])
                shutil.rmtree(os.path.join(self.cache, what))
                self.assertEqual(self.read(mount, self.paths), len(self.paths))
                self.assertEqual(sorted("C/" + path for path in harness.walk_files(mount / "C")),
                                 self.paths)
                mount.unmount()
                again = self.start()
                self.assertEqual(self.read(again, self.paths[:6]), 6)
                self.finish(again)


if __name__ == "__main__":
    harness.main()
