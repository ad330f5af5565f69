# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What is promised of space: tciafs(7), S1 to S3."""

import concurrent.futures
import mmap
import os
import threading

import harness

MIB = 1 << 20
# Two MB a series, sixty in all; stored, so that the archive has little to do.
COLLECTION = "C:patients=1,studies=1,series=30,images=4,size=512x512"


class DiskWatch(threading.Thread):
    """Looks at a file system of its own, over and over: the most that was used, the least free.

    One call tells all at one moment, also of files that were removed and are still open.
    """

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path = path
        self.most_used = 0
        self.least_free = 1 << 62
        self.looks = 0
        self._ending = threading.Event()

    def run(self):
        while not self._ending.wait(0.001):
            self.look()

    def look(self):
        space = os.statvfs(self.path)
        self.most_used = max(self.most_used, (space.f_blocks - space.f_bfree) * space.f_frsize)
        self.least_free = min(self.least_free, space.f_bavail * space.f_frsize)
        self.looks += 1

    def end(self):
        self._ending.set()
        self.join()
        self.look()


class Bounds(harness.MountCase):
    def small_disk(self, size_bytes):
        if os.getuid() != 0 and not os.environ.get("TCIAFS_REQUIRE_FUSE"):
            self.skipTest("mounting a small disk takes root")
        os.mkdir(self.cache)
        options = f"size={size_bytes},mode=700"
        harness.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", self.cache)
        self.addCleanup(harness.detach, self.cache)

    def read_all_watched(self, *options):
        """Reads more than fits, several series at once: (what the disk saw, outcomes, truth)."""
        server = self.archive("--synthetic", COLLECTION, "--zip-level", 0)
        truth = {path: md5 for path, (md5, _) in server.truth("C").items()}
        mount = self.mount(server, options=["--downloads", 4, *options])
        harness.walk_files(mount.path)
        watch = DiskWatch(self.cache)
        watch.start()
        with concurrent.futures.ThreadPoolExecutor(4) as readers:
            outcomes = dict(zip(truth, readers.map(
                lambda path: harness.outcome_of_reading(mount / path), truth)))
        watch.end()
        self.assertGreater(watch.looks, 50)
        return watch, outcomes, truth

    def listings_bytes(self):
        """The listings are kept apart and only grow."""
        files = (os.path.join(self.cache, "catalog", name) for name in ("data.mdb", "lock.mdb"))
        return sum(os.stat(file).st_blocks * 512 for file in files)

    def test_s1(self):
        """S1: The images in the cache never take more than their cap, nor the disk below its free
        floor, not even while downloading."""
        self.small_disk(64 * MIB)
        watch, outcomes, truth = self.read_all_watched("--cache-size", 20 * MIB, "--min-free", "0")
        self.assertEqual(outcomes, truth)
        self.assertLessEqual(watch.most_used, 20 * MIB + self.listings_bytes())
        self.assertGreater(watch.most_used, 16 * MIB, "and it is used")

    def test_s1_free_floor(self):
        """S1: The images in the cache never take more than their cap, nor the disk below its free
        floor, not even while downloading."""
        self.small_disk(48 * MIB)
        watch, outcomes, truth = self.read_all_watched("--cache-size", "1G",
                                                       "--min-free", 24 * MIB)
        self.assertEqual(outcomes, truth)
        self.assertGreaterEqual(watch.least_free, 24 * MIB)
        self.assertLess(watch.least_free, 32 * MIB, "and what is above it is used")

    def test_s1_without_end(self):
        """S1: The images in the cache never take more than their cap, nor the disk below its free
        floor, not even while downloading.

        Nor does an entry that goes on and on push out what is here.
        """
        server = self.archive("--synthetic", "C:patients=2,studies=1,series=1,images=6")
        mount = self.mount(server, options=["--cache-size", "16M"])
        truth = server.truth("C")
        here, *_, there = sorted(truth)
        self.assertEqual(harness.md5_of(mount / here), truth[here][0])
        server.plan({"endpoint": "*/getImage*", "times": 1, "action": "bomb", "k": 2,
                     "n": 64 * MIB})
        self.assertIn(harness.outcome_of_reading(mount / there), (truth[there][0], "EIO"))
        self.assertEqual(os.getxattr(mount / here, "user.tcia.cached"), b"1")

    def test_s2(self):
        """S2: A series that the archive tells to be larger than the cap is refused with ENOSPC
        before a byte is fetched, and the reason says so."""
        server = self.archive("--synthetic",
                              "C:patients=1,studies=1,series=1,images=100,size=512x512")
        mount = self.mount(server, options=["--cache-size", "20M"])
        paths = harness.walk_files(mount.path)
        for path in paths[:3]:
            self.assertEqual(harness.outcome_of_reading(mount / path), "ENOSPC")
        self.assertEqual(server.requests("images"), 0)
        self.assertRegex(os.getxattr(mount / paths[0], "user.tcia.error").decode(),
                         "needs 50.* MiB, cache holds at most 1")

    def test_s3(self):
        """S3: Files being read are never pulled from under their readers."""
        server = self.archive("--synthetic", COLLECTION, "--zip-level", 0)
        truth = server.truth("C")
        mount = self.mount(server, options=["--cache-size", "16M"])
        harness.walk_files(mount.path)
        paths = sorted(truth)
        file = os.open(mount / paths[0], os.O_RDONLY)
        self.addCleanup(os.close, file)
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as mapped:
            first = os.pread(file, 4096, 0)
            for path in paths[4:]:
                harness.md5_of(mount / path)
            cached = [os.getxattr(mount / path, "user.tcia.cached") for path in paths[4:]]
            self.assertIn(b"0", cached, "others were evicted meanwhile")
            server.stop()
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            whole = first + os.pread(file, truth[paths[0]][1], 4096)
            self.assertEqual(harness.hashlib.md5(whole).hexdigest(), truth[paths[0]][0])
            self.assertEqual(mapped[:], whole)
        self.assertEqual(harness.md5_of(mount / paths[0]), truth[paths[0]][0])

    def test_s3_pinned(self):
        """S3: Pinned series are never evicted."""
        server = self.archive("--synthetic", COLLECTION, "--zip-level", 0)
        truth = server.truth("C")
        mount = self.mount(server, options=["--cache-size", "16M"])
        series = sorted({os.path.dirname(path) for path in truth})
        pinned = harness.command("pin", *(mount / path for path in series[:3]))
        self.assertEqual(pinned.returncode, 0, pinned)
        for path in sorted(truth):
            self.assertEqual(harness.outcome_of_reading(mount / path), truth[path][0])
        mount = self.remount(mount, server, options=["--cache-size", "16M"])
        for path in sorted(truth, reverse=True):
            self.assertEqual(harness.outcome_of_reading(mount / path), truth[path][0])
        cached = {path: os.getxattr(mount / path, "user.tcia.cached") for path in truth}
        self.assertIn(b"0", cached.values(), "others were evicted meanwhile")
        for path in truth:
            if os.path.dirname(path) in series[:3]:
                self.assertEqual(cached[path], b"1")


if __name__ == "__main__":
    harness.main()
