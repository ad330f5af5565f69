# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The wall clock jumps, and descriptors run out."""

import contextlib
import errno
import os
import shutil
import sys
import time
import unittest

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))
import crashes  # noqa: E402

YEAR_MS = 365 * 24 * 3600 * 1000
SPEC = "C:patients=2,studies=1,series=2,images=3,size=64x64"


class Clock(crashes.CrashCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", SPEC)
        self.truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        self.allowed = {path: {md5} for path, md5 in self.truth.items()}

    def check(self, mount):
        self.assertEqual(harness.walk_files(mount.path), sorted(self.truth))
        for path, md5 in self.truth.items():
            self.assertEqual(harness.md5_of(mount / path), md5)

    def test_in_the_run(self):
        for jump in (-YEAR_MS, YEAR_MS):
            with self.subTest(jump_ms=jump):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.faults.plan()
                mount = self.faulty_mount(self.server, options=["--metadata-ttl", "1s"])
                self.check(mount)
                self.faults.plan(f"clock={jump}")
                self.check(mount)
                self.heals(mount)
                self.faults.plan()
                self.check(mount)
                self.heals(mount)
                mount.unmount()
                self.check_survivors(self.server, self.allowed, self.truth)

    def test_between_mounts(self):
        for jump in (-YEAR_MS, YEAR_MS, -50 * YEAR_MS):
            with self.subTest(jump_ms=jump):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.faults.plan()
                mount = self.faulty_mount(self.server, options=["--metadata-ttl", "1s"])
                self.check(mount)
                mount.unmount()
                self.faults.plan(f"clock={jump}")
                mount = self.faulty_mount(self.server, options=["--metadata-ttl", "1s"])
                self.check(mount)
                self.heals(mount)
                mount.unmount()

    def heals(self, mount):
        """What is new in the archive is seen, whatever the clock says; what was there stays."""
        before = len(os.listdir(mount / "C"))
        self.server.mutate(add_patients={"collection": "C", "count": 1})
        harness.wait_for(lambda: len(os.listdir(mount / "C")) == before + 1, "the new patient")
        self.truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        self.allowed = {path: {md5} for path, md5 in self.truth.items()}
        self.check(mount)

    def test_offline_nothing_expires(self):
        mount = self.faulty_mount(self.server)
        self.check(mount)
        mount.unmount()
        self.faults.plan(f"clock={5 * YEAR_MS}")
        self.check(self.faulty_mount(self.server, options=["--offline"]))


@unittest.skipIf(harness.is_sanitized(), "UBSan takes what it cannot look at through a pipe for damaged")
class Descriptors(crashes.CrashCase):
    def test_more_open_files_than_descriptors(self):
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=2,images=60,size=32x32")
        truth = {path: md5 for path, (md5, _) in server.truth("C").items()}
        mount = self.faulty_mount(server, prefix=("prlimit", "--nofile=64:64"))
        harness.walk_files(mount.path)
        with contextlib.ExitStack() as opened:
            refused = 0
            for path in sorted(truth):
                try:
                    file = opened.enter_context(open(mount / path, "rb"))
                    self.assertEqual(len(file.read(100)), 100)
                except OSError as failure:
                    self.assertEqual(failure.errno, errno.EIO)
                    refused += 1
            self.assertGreater(refused, 20)
            start = time.monotonic()
            self.assertEqual(os.listdir(mount.path), ["C"])
            self.assertLess(time.monotonic() - start, 10)
        for path, md5 in truth.items():  # they are free again
            def right(path=path, md5=md5):
                return crashes.read_or_none(mount / path) == md5
            harness.wait_for(right, path, timeout_s=60)
        mount.unmount()
        self.audit()


if __name__ == "__main__":
    harness.main()
