# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Every call of the local disk and of the store fails, at a mount's start and in its run.

Each row: which call, how it fails, what may come of it. Nothing else may: right bytes, or one of the
errors named; and once the fault is gone, all is well and nothing is left behind.
"""

import csv
import errno
import os
import sys

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))
import crashes  # noqa: E402
import fault_points  # noqa: E402

SPEC = "C:patients=1,studies=1,series=3,images=3,size=128x128"
# Three series of 6 MB: the cap holds two of them.
LARGE = "C:patients=1,studies=1,series=3,images=3,size=1024x1024"
EVICTING = {"cache.disk.remove", "cache.disk.remove_directory", "cache.disk.list"}
CANNOT_USE_CACHE = 6

# In the run: what reads may fail with, beside giving the right bytes.
RUNNING = [
    ("cache.disk.create", "EIO", ()),
    ("cache.disk.create", "ENOSPC", ()),
    ("cache.disk.create", "EACCES", ()),
    ("cache.disk.create", "EMFILE", (errno.EIO, errno.EMFILE)),
    ("cache.disk.open", "EIO", ()),
    ("cache.disk.open", "EMFILE", (errno.EIO, errno.EMFILE)),
    ("cache.disk.write", "EIO", ()),
    ("cache.disk.write", "ENOSPC", ()),
    ("cache.disk.write", "SHORT", ()),
    ("cache.disk.read", "EIO", ()),
    ("cache.disk.read", "SHORT", ()),
    ("cache.disk.size", "EIO", ()),
    ("cache.disk.truncate", "EIO", ()),
    ("cache.disk.rename", "EIO", ()),
    ("cache.disk.rename", "EROFS", ()),
    ("cache.disk.remove", "EIO", ()),
    ("cache.disk.sync_directory", "EIO", ()),
    ("cache.disk.make_directory", "ENOSPC", ()),
    ("cache.disk.remove_directory", "EIO", ()),
    ("cache.disk.list", "EIO", ()),
    ("cache.disk.space", "EIO", ()),
    ("cache.index.commit", "EIO", ()),
    ("cache.index.commit", "ENOSPC", ()),
    ("cache.lock.write", "EIO", ()),
    ("cache.lock.sync", "EIO", ()),
    ("store.commit", "EIO", ()),
    ("store.commit", "ENOSPC", ()),
    ("store.sync", "EIO", ()),
    ("store.seal.write", "ENOSPC", ()),
    ("cache.memory.create", "ENOMEM", ()),
    ("store.open", "EIO", ()),
]
# Reached at the start, or only where something else has failed: tried by the other tests.
NOT_IN_THE_RUN = {"store.open", "cache.lock.sync", "cache.memory.create", "cache.disk.sync_directory"}
# No disk and no memory: nothing is left to read from.
NOWHERE = [("cache.disk.write=EIO", "cache.memory.create=ENOMEM")]


class Calls(crashes.CrashCase):
    def setUp(self):
        super().setUp()
        self.small = self.archive("--synthetic", SPEC, "--zip-level", 1)
        self.large = self.archive("--synthetic", LARGE, "--zip-level", 1)
        self.serve(self.small)

    def serve(self, server):
        self.server = server
        self.truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        self.allowed = {path: {md5} for path, md5 in self.truth.items()}
        self.paths = sorted(self.truth)

    def new_cache(self, name):
        self.cache = os.path.join(self.directory, "cache-" + name)

    def read(self, mount, paths, errors=()):
        """Right bytes, or one of the errors; how many were read."""
        count = 0
        for path in paths:
            try:
                self.assertEqual(harness.md5_of(mount / path), self.truth[path], path)
                count += 1
            except OSError as failure:
                self.assertIn(failure.errno, errors, f"{failure}\n{mount.log()[-3000:]}")
        return count

    def test_every_call_is_tried(self):
        self.assertEqual({name for name, _, _ in RUNNING} | {"text.write"}, fault_points.calls())

    def test_in_the_run(self):
        for name, failure, errors in RUNNING:
            with self.subTest(call=name, failure=failure):
                self.new_cache(f"{name}-{failure}")
                self.serve(self.large if name in EVICTING else self.small)
                self.faults.plan()
                mount = self.faulty_mount(self.server)
                harness.walk_files(mount.path)
                self.read(mount, self.paths[:3])
                mount.unmount()  # what follows reads blocks of an earlier run, too
                mount = self.faulty_mount(self.server)
                self.faults.forget()
                self.faults.plan(f"{name}={failure}")
                self.read(mount, self.paths, errors)
                hits = self.faults.hits()
                self.faults.plan()
                if errors:  # a download that failed is not tried again at once
                    harness.wait_for(lambda: self.read(mount, self.paths, errors) == len(self.paths),
                                     "all is well again")
                self.read(mount, self.paths)
                self.check_cap()
                self.faults.plan(f"{name}={failure}")
                self.faults.forget()
                mount.unmount()
                hits.update(self.faults.hits())
                self.assertEqual(name in hits, name not in NOT_IN_THE_RUN)
                self.check_survivors(self.server, self.allowed)

    def test_a_long_text(self):
        """A table that does not fit into memory: told, or whole."""
        count = 2500
        server = self.archive("--synthetic", f"C:patients={count},studies=1,series=1,images=1")
        self.new_cache("text")
        mount = self.faulty_mount(server)
        for failure in ("ENOSPC", "EIO"):
            self.faults.plan(f"text.write={failure}")
            self.assertEqual(harness.outcome_of_reading(mount / "C/.tcia/series.csv"), failure)
        self.faults.plan()
        with open(mount / "C/.tcia/series.csv", encoding="utf-8", newline="") as table:
            self.assertEqual(len(list(csv.DictReader(table))), count)
        self.assertGreater(self.faults.hits()["text.write"], 1)

    def test_at_the_start(self):
        """Refused with the exit code for it, or mounted and right; nothing is lost for it."""
        refused = set()
        for fresh in (True, False):
            for name in sorted(fault_points.calls()):
                with self.subTest(call=name, fresh=fresh):
                    self.new_cache(f"{name}-{fresh}")
                    if not fresh:
                        self.faults.plan("cache.instance.renamed=KILL@5")
                        mount = self.faulty_mount(self.server)
                        harness.walk_files(mount.path)
                        self.assertIsNotNone(mount)
                        for path in self.paths:
                            crashes.read_or_none(mount / path)
                        self.clear_away(mount)
                    self.faults.plan(f"{name}=EIO")
                    try:
                        mount = self.faulty_mount(self.server)
                        self.read(mount, self.paths[:4])
                        mount.unmount()
                    except AssertionError as failure:
                        self.assertIn(f"mount ended with {CANNOT_USE_CACHE}: ", str(failure))
                        self.assertIn("tciafs: cache ", str(failure))
                        refused.add(name)
                    self.check_survivors(self.server, self.allowed)
        # A start that cannot be trusted to keep the cache right; all else degrades.
        self.assertIn("store.open", refused)
        self.assertNotIn("cache.disk.remove", refused)
        self.assertNotIn("cache.disk.list", refused)

    def test_withdrawing(self):
        """A damaged instance goes and comes back, also where that cannot be made sure of."""
        for name in ("cache.disk.remove", "cache.disk.sync_directory", "cache.disk.read"):
            with self.subTest(call=name):
                self.new_cache("withdraw-" + name)
                self.faults.plan()
                mount = self.faulty_mount(self.server)
                harness.walk_files(mount.path)
                self.read(mount, self.paths[:3])
                mount.unmount()
                for directory, _, files in os.walk(os.path.join(self.cache, "images", "series")):
                    for file in files:
                        with open(os.path.join(directory, file), "r+b") as damaged:
                            damaged.seek(20_000)
                            damaged.write(b"damaged")
                mount = self.faulty_mount(self.server)
                self.faults.forget()
                self.faults.plan(f"{name}=EIO")
                self.assertEqual(self.read(mount, self.paths), len(self.paths))
                self.assertIn(name, self.faults.hits())
                self.faults.plan()
                mount.unmount()
                self.check_survivors(self.server, self.allowed)

    def test_neither_disk_nor_memory(self):
        for rules in NOWHERE:
            self.faults.plan()
            mount = self.faulty_mount(self.server)
            harness.walk_files(mount.path)
            self.faults.plan(*rules)
            self.assertEqual(self.read(mount, self.paths[:3], (errno.EIO, errno.ENOSPC)), 0)
            self.faults.plan()
            self.assertEqual(self.read(mount, self.paths[3:]), len(self.paths) - 3)
            mount.unmount()
            self.check_survivors(self.server, self.allowed)


if __name__ == "__main__":
    harness.main()
