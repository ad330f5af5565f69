# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The two ways in which the kernel reads: asking the daemon, and from the cache's files by itself.

Every case holds in both. Which one is taken shows in the number of reads that reach the daemon, and
must be the one that this build, kernel and user allow.
"""

import concurrent.futures
import hashlib
import json
import mmap
import os
import re
import threading

import harness

SERIES = "C:patients=1,studies=1,series=1,images=5,size=256x320"
LIBRARY_MIN = (3, 17)
KERNEL_MIN = (6, 9)


def numbers(text):
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def can_pass_through():
    """Whether library, kernel and user let cached files be passed through."""
    if os.environ.get("TCIAFS_EXPECT_PASSTHROUGH"):
        return True
    version = harness.run(harness.PROGRAM, "--version", env=harness.clean_environment()).stdout
    library = numbers(re.search(r"libfuse (\S+)", version).group(1))
    with open("/proc/self/status", encoding="utf-8") as status:
        effective = int(re.search(r"CapEff:\s*(\w+)", status.read()).group(1), 16)
    sys_admin = effective >> 21 & 1
    return library >= LIBRARY_MIN and numbers(os.uname().release) >= KERNEL_MIN and bool(sys_admin)


class PassthroughCase(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.passes = can_pass_through()
        self.server = self.archive("--families", "v1", "--zip-level", 0, "--synthetic", SERIES)
        self.truth = self.server.truth("C")
        self.paths = sorted(self.truth)

    def cached(self, *options):
        """A mount whose kernel has seen nothing, of a cache that has everything."""
        mount = self.mount(self.server)
        self.read_all(mount)
        self.wait_until_verified(mount)
        mount.unmount()
        return self.mount(self.server, options=["--offline", *options])

    def wait_until_verified(self, mount):
        harness.wait_for(lambda: not self.status(mount)["downloads"], "the download has ended")

    def status(self, mount):
        with open(mount / ".tcia/status.json", encoding="utf-8") as file:
            return json.load(file)

    def reads(self, mount):
        return self.status(mount)["cache"]["reads"]

    def read_all(self, mount):
        for path in self.paths:
            self.assertEqual(harness.md5_of(mount / path), self.truth[path][0], path)

    def opened(self, mount, path, flags=0):
        file = os.open(mount / path, os.O_RDONLY | flags)
        self.addCleanup(os.close, file)
        return file

    def assert_whole(self, path, content):
        self.assertEqual((hashlib.md5(content).hexdigest(), len(content)), self.truth[path])

    def content(self, file):
        pieces = []
        while piece := os.pread(file, 100_000, sum(map(len, pieces))):
            pieces.append(piece)
        return b"".join(pieces)

    def cache_file(self, path):
        """The file of the cache that holds an instance: the one with its bytes."""
        for directory, _, names in os.walk(os.path.join(self.cache, "images")):
            for name in names:
                whole = os.path.join(directory, name)
                if name.endswith(".dcm") and harness.md5_of(whole) == self.truth[path][0]:
                    return whole
        raise AssertionError(f"{path} is not in the cache")


class WayTaken(PassthroughCase):
    def test_cached_instances_are_passed_through_where_that_can_be(self):
        mount = self.cached()
        self.assertEqual(self.reads(mount), 0)
        self.read_all(mount)
        self.assertEqual(self.reads(mount) == 0, self.passes, mount.log()[-2000:])
        for path in self.paths:
            self.assertEqual(os.stat(mount / path).st_size, self.truth[path][1])

    def test_off(self):
        mount = self.cached("--passthrough", "off")
        self.read_all(mount)
        self.assertGreater(self.reads(mount), 0)

    def test_what_is_being_downloaded_is_asked_for(self):
        """Until a series is verified its instances may be withdrawn, which a file handed out could
        not be. The next opening after that passes it through."""
        self.server.plan({"endpoint": "*/getImage*", "times": 1, "action": "stall_after_bytes",
                          "n": 250_000})
        mount = self.mount(self.server)
        arrived = []

        def read(path):
            arrived.append((path, harness.outcome_of_reading(mount / path)))
        threads = [threading.Thread(target=read, args=(path,), daemon=True) for path in self.paths]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: arrived, "one has arrived")
        self.assertNotEqual(self.status(mount)["downloads"], [])
        self.assertGreater(self.reads(mount), 0)
        early, outcome = arrived[0]
        self.assertEqual(outcome, self.truth[early][0])
        file = self.opened(mount, early)  # stays open: its node is asked for until it is closed
        self.server.restart()  # ends the transfer that stands still
        for thread in threads:
            thread.join(harness.WAIT_S)
        self.assertEqual(dict(arrived), {path: md5 for path, (md5, _) in self.truth.items()})
        self.wait_until_verified(mount)
        self.assert_whole(early, self.content(file))
        self.assertEqual(harness.md5_of(mount / early), self.truth[early][0])
        before = self.reads(mount)
        for path in self.paths:
            if path != early:
                os.posix_fadvise(self.opened(mount, path), 0, 0, os.POSIX_FADV_DONTNEED)
                self.assertEqual(harness.md5_of(mount / path), self.truth[path][0])
        self.assertEqual(self.reads(mount) == before, self.passes)


class EveryWayOfReading(PassthroughCase):
    def test_bytes_and_sizes(self):
        mount = self.cached()
        path = self.paths[0]
        file = self.opened(mount, path)
        size = self.truth[path][1]
        self.assertEqual(os.fstat(file).st_size, size)
        self.assert_whole(path, self.content(file))
        self.assertEqual(os.pread(file, 100, size), b"")
        self.assertEqual(len(os.pread(file, 100, size - 7)), 7)
        with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as mapped:
            self.assert_whole(path, mapped[:])
        copy = os.path.join(self.directory, "copy")
        with open(copy, "wb") as target:
            while os.sendfile(target.fileno(), file, None, 1 << 20):
                pass
        self.assertEqual(harness.md5_of(copy), self.truth[path][0])
        self.assertEqual(os.fstat(file).st_size, size)

    def test_direct_reads_need_no_alignment(self):
        mount = self.cached()
        path = self.paths[0]
        plain = self.opened(mount, path)
        direct = self.opened(mount, path, os.O_DIRECT)
        whole = self.content(plain)
        self.assert_whole(path, whole)
        self.assertEqual(os.pread(direct, 1001, 333), whole[333:1334])
        self.assert_whole(path, self.content(direct))
        self.assert_whole(path, self.content(plain))

    def test_cannot_be_written(self):
        mount = self.cached()
        path = mount / self.paths[0]
        file = self.opened(mount, self.paths[0])
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC):
            self.assertEqual(harness.failure_of(os.open, path, flags), "EROFS")
        self.assertIsNotNone(harness.failure_of(os.pwrite, file, b"x", 0))
        for access in (mmap.PROT_WRITE, mmap.PROT_EXEC):
            with self.assertRaises(PermissionError):
                mmap.mmap(file, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | access)
        self.assert_whole(self.paths[0], self.content(file))

    def test_mapping_outlives_descriptor_and_eviction(self):
        mount = self.mount(self.server, options=["--metadata-ttl", "1s"])
        self.read_all(mount)
        self.wait_until_verified(mount)
        path = self.paths[0]
        file = os.open(mount / path, os.O_RDONLY)
        mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        self.addCleanup(mapped.close)
        os.close(file)
        self.server.mutate(replace_series=path.split("/")[3])
        new = self.server.truth("C")
        harness.wait_for(lambda: harness.md5_of(mount / path) == new[path][0], "the new bytes")
        self.assert_whole(path, mapped[:])


class Promises(PassthroughCase):
    def test_damage_of_an_earlier_run_is_found_before_it_is_read(self):
        """In any block, also one that is never asked for."""
        mount = self.mount(self.server)
        self.read_all(mount)
        self.wait_until_verified(mount)
        mount.unmount()
        damaged = self.cache_file(self.paths[1])
        with open(damaged, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        mount = self.mount(self.server)
        for path in self.paths:
            self.assert_whole(path, self.content(self.opened(mount, path)))
        self.assertIn("it will be fetched again", mount.log())

    def test_cut_in_an_earlier_run(self):
        mount = self.mount(self.server)
        self.read_all(mount)
        mount.unmount()
        os.truncate(self.cache_file(self.paths[2]), 4096)
        mount = self.mount(self.server)
        self.read_all(mount)

    def test_open_files_keep_the_old_bytes(self):
        """However often the series is replaced under files that were passed through."""
        mount = self.mount(self.server, options=["--metadata-ttl", "1s"])
        self.read_all(mount)
        self.wait_until_verified(mount)
        path = self.paths[0]
        held = []
        for other_size in (False, True):
            held.append((self.opened(mount, path), self.server.truth("C")[path]))
            self.server.mutate(replace_series=path.split("/")[3], other_size=other_size)
            new = self.server.truth("C")[path]
            harness.wait_for(lambda: harness.md5_of(mount / path) == new[0], "the new bytes")
            self.wait_until_verified(mount)
            self.assertEqual(os.stat(mount / path).st_size, new[1])
            for file, (md5, size) in held:
                self.assertEqual(hashlib.md5(self.content(file)).hexdigest(), md5)
                self.assertEqual(os.fstat(file).st_size, size)

    def test_opens_meet_no_error_whatever_else_is_open(self):
        """The kernel fails an open that is answered in another way than those before it."""
        mount = self.mount(self.server)
        stop = threading.Event()

        def keep_opening(number):
            count = 0
            while not stop.is_set():
                path = self.paths[(number + count) % len(self.paths)]
                with open(mount / path, "rb", 0) as file:
                    content = file.read()
                if hashlib.md5(content).hexdigest() != self.truth[path][0]:
                    return path
                count += 1
            return count

        # They begin while the series is being downloaded, and go on when it is verified.
        with concurrent.futures.ThreadPoolExecutor(4) as readers:
            running = [readers.submit(keep_opening, number) for number in range(4)]
            try:
                self.wait_until_verified(mount)
                for _ in range(20):
                    self.read_all(mount)
            finally:
                stop.set()
            for reader in running:
                self.assertIsInstance(reader.result(), int)
                self.assertGreater(reader.result(), 0)
        before = self.reads(mount)
        self.read_all(mount)
        if self.passes:
            self.assertEqual(self.reads(mount), before, "all had been closed")


if __name__ == "__main__":
    harness.main()
