# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What is promised of bytes: tciafs(7), B1 to B7."""

import concurrent.futures
import hashlib
import io
import mmap
import os
import random
import signal
import threading
import urllib.request
import zipfile

import harness

ONE_SERIES = "C:patients=1,studies=1,series=1,"


def zip_fault(times=1, **action):
    return {"endpoint": "*/getImage*", "times": times, **action}


def single_fault(path):
    """One instance cannot be had as a single image either."""
    sop = os.path.basename(path).removesuffix(".dcm")
    return {"endpoint": "*/getSingleImage", "match": {"SOPInstanceUID": sop}, "times": -1,
            "action": "status", "code": 500}


class Case(harness.MountCase):
    def series(self, spec, *archive_options, options=()):
        """An archive with one series, mounted, its instances listed: (archive, mount, truth)."""
        server = self.archive("--synthetic", ONE_SERIES + spec, *archive_options)
        mount = self.mount(server, options=options)
        truth = {path: md5 for path, (md5, _) in server.truth("C").items()}
        self.assertEqual(sorted(truth), ["C/" + path for path in harness.walk_files(mount / "C")])
        return server, mount, truth

    def zipped(self, server, truth):
        """The archive's zip of the series, and the paths of its images in their order there."""
        uid = next(iter(truth)).split("/")[3]
        url = f"{server.url}/services/v1/getImage?SeriesInstanceUID={uid}"
        with urllib.request.urlopen(url, timeout=harness.WAIT_S) as answer:
            archived = zipfile.ZipFile(io.BytesIO(answer.read()))
        server.reset()
        path_of = {md5: path for path, md5 in truth.items()}
        images = [entry for entry in archived.infolist() if entry.filename.endswith(".dcm")]
        return images, [path_of[hashlib.md5(archived.read(entry)).hexdigest()] for entry in images]

    def read_all(self, mount, truth):
        return {path: harness.outcome_of_reading(mount / path) for path in sorted(truth)}


class Integrity(Case):
    def check(self, actions, *archive_options):
        """One bad transfer each for as many series, all read at once: nothing wrong may be read,
        and all is made good. The archive, and its image requests by series."""
        self.cache += "x"
        spec = f"C:patients=1,studies=1,series={len(actions)},images=6,size=64x64"
        server = self.archive("--synthetic", spec, *archive_options)
        mount = self.mount(server, options=["--downloads", len(actions)])
        truth = {path: md5 for path, (md5, _) in server.truth("C").items()}
        uids = sorted({path.split("/")[3] for path in truth})
        harness.walk_files(mount.path)
        server.plan(*[{"endpoint": "*/getImage*", "match": {"SeriesInstanceUID": uid}, **action}
                      for uid, rows in zip(uids, actions) for action in rows])
        with concurrent.futures.ThreadPoolExecutor(len(truth)) as readers:
            outcomes = dict(zip(truth, readers.map(
                lambda path: harness.outcome_of_reading(mount / path), truth)))
        for uid, rows in zip(uids, actions):
            with self.subTest(rows=rows):
                self.assertEqual({path: outcomes[path] for path in truth if uid in path},
                                 {path: truth[path] for path in truth if uid in path})
        return server

    def test_b1(self):
        """B1: A read returns the archive's bytes for that instance, or an error: never truncated,
        never mixed."""
        cut_short = {"action": "short_entry", "k": 5, "n": 900}  # and its checksum is right
        self.check([[{"action": "reset_after_bytes", "n": 9000}],
                    [{"action": "abort_after_bytes", "n": 9000}],
                    [{"action": "close_after_bytes", "n": 9000}],
                    [{"action": "empty_zip"}], [{"action": "license_only"}], [{"action": "html"}],
                    [{"action": "no_md5"}], [cut_short, {"action": "no_md5"}],
                    [{"action": "duplicate_entry", "k": 1}], [{"action": "evil_names"}],
                    [{"action": "foreign_instance"}], [{"action": "not_dicom", "k": 1}]])

    def test_b1_checksums(self):
        """B1: Every instance has passed the checksum of its transfer before its first byte can be
        read; when the archive gives an MD5 that does not agree, the instance is withdrawn and
        fetched again."""
        damages = ("corrupt", "wrong_crc", "wrong_md5")
        server = self.check([[{"action": damage, "k": k}] for damage in damages for k in (0, 2, 5)])
        harness.wait_for(lambda: server.requests("images") >= 18, "all nine are fetched again")

    def test_b1_on_the_disk(self):
        """B1: A read returns the archive's bytes for that instance, or an error: never truncated,
        never mixed.

        Also when the disk has changed what an earlier run wrote.
        """
        server, mount, truth = self.series("images=4,size=64x64")
        self.assertEqual(self.read_all(mount, truth), truth)
        mount.unmount()
        damaged = 0
        for directory, _, names in os.walk(os.path.join(self.cache, "images")):
            for name in names:
                if name.endswith(".dcm"):
                    with open(os.path.join(directory, name), "r+b") as file:
                        byte = os.pread(file.fileno(), 1, 5000)[0]
                        os.pwrite(file.fileno(), bytes([byte ^ 1]), 5000)
                    damaged += 1
        self.assertEqual(damaged, 4)
        self.assertEqual(self.read_all(self.mount(server), truth), truth)


class Sharing(Case):
    def test_b2(self):
        """B2: The first opening of an instance starts one download of its series, shared by all
        readers."""
        server, mount, truth = self.series("images=20,size=128x128", "--latency-ms", 100)
        self.assertEqual(server.requests("images"), 0)
        paths = sorted(truth)
        with concurrent.futures.ThreadPoolExecutor(50) as readers:
            sums = list(readers.map(lambda i: harness.md5_of(mount / paths[i % 20]), range(50)))
        self.assertEqual(sums, [truth[paths[i % 20]] for i in range(50)])
        self.assertEqual(self.read_all(mount, truth), truth)
        self.assertEqual(server.requests("images"), 1, server.counters())

    def test_b2_series_after_series(self):
        """B2: Who reads series of a study one after the other, in the order of their listing, finds
        the next one on its way: once two were read to their ends, the one after them is downloaded
        too, unless other downloads wait or something would have to leave the cache for it.

        mount/ahead_test.py has who does not."""
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=4,images=8,size=128x128")
        mount = self.mount(server)
        series = sorted(path for path, names, _ in os.walk(mount / "C") if not names)
        truth = {mount / path: md5 for path, (md5, _) in server.truth("C").items()}
        for number, path in enumerate(series[:2], 1):
            self.assertLessEqual(server.requests("images"), number)
            for name in sorted(os.listdir(path)):
                image = os.path.join(path, name)
                self.assertEqual(harness.md5_of(image), truth[image])
        harness.wait_for(lambda: server.requests("images") >= 3, "the third is asked for")
        for path in series[2:]:
            for name in sorted(os.listdir(path)):
                image = os.path.join(path, name)
                self.assertEqual(harness.md5_of(image), truth[image])
        self.assertEqual(server.requests("images"), 4, server.counters())

    def test_b2_before_the_rest(self):
        """B2: An instance can be read as soon as it has arrived whole, before the rest; the newest
        one when the next has begun or after half a second, since a transfer that breaks off can end
        in a file cut short.

        The transfer stalls for ever behind the third of eight: behind its last byte, so that no
        next one has begun.
        """
        server, mount, truth = self.series("images=8,size=64x64", "--families", "v1")
        images, order = self.zipped(server, truth)
        server.plan(zip_fault(-1, action="stall_after_bytes", n=images[3].header_offset))
        arrived, failed = [], []

        def read(path):
            outcome = harness.outcome_of_reading(mount / path)
            (arrived if outcome == truth[path] else failed).append(path)
        threads = [threading.Thread(target=read, args=(path,), daemon=True) for path in truth]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: len(arrived) == 3, f"three are readable: {arrived}")
        self.assertEqual(sorted(arrived), sorted(order[:3]))
        self.assertEqual(server.active("getImage"), 1)
        self.assertEqual(failed, [])
        self.assertEqual(server.requests("images"), 1, server.counters())
        mount.unmount()
        for thread in threads:
            thread.join(harness.WAIT_S)
        self.assertEqual((len(arrived), len(failed)), (3, 5))


class Keeping(harness.MountCase):
    def test_b3(self):
        """B3: What was downloaded needs no network, also after a remount or a crash, until the
        cache evicts it."""
        small = "patients=1,studies=1,series=1,images=4,size=64x64"
        filling = "patients=1,studies=1,series=3,images=12,size=512x512"
        server = self.archive("--synthetic", f"A:{small}", "--synthetic", f"FILL:{filling}",
                              "--zip-level", 0)
        truth = {path: md5 for path, (md5, _) in server.truth("A").items()}
        options = ["--cache-size", "16M"]
        mount = self.mount(server, options=options)
        self.assertEqual({path: harness.outcome_of_reading(mount / path) for path in truth}, truth)
        fill = ["FILL/" + path for path in harness.walk_files(mount / "FILL")]
        server.stop()

        def read_all():
            return {path: harness.outcome_of_reading(mount / path) for path in truth}
        self.assertEqual(read_all(), truth)
        mount = self.remount(mount, server, options=options)
        self.assertEqual(read_all(), truth)
        mount.kill()
        mount = self.mount(server, options=options)
        self.assertEqual(read_all(), truth)
        mount.unmount()
        server.restart()
        mount = self.mount(server, options=options)
        for path in fill:
            harness.md5_of(mount / path)
        cached = {os.getxattr(mount / path, "user.tcia.cached") for path in truth}
        self.assertEqual(cached, {b"0"}, "the least recently used series goes first")
        mount = self.remount(mount, server, options=[*options, "--offline"])
        self.assertEqual({harness.outcome_of_reading(mount / path) for path in truth},
                         {"ENETUNREACH"})


class Sizes(harness.MountCase):
    SPEC = "N:patients=1,studies=1,series=2,images=3,size=80x80"

    def check_opened(self, mount, truth):
        for path, (_, size) in truth.items():
            with open(mount / path, "rb") as file:
                self.assertEqual(os.fstat(file.fileno()).st_size, size, path)
                self.assertEqual(len(file.read()), size)
                self.assertEqual(os.stat(mount / path).st_size, size)

    def test_b4(self):
        """B4: After open(2), fstat(2) is exact. Before, it is exact where the archive tells sizes;
        otherwise it is an estimate that is marked as such in the attribute user.tcia.size and is
        not kept by the kernel."""
        for drill_down, origin in (([], b"advertised"), (["--no-drill-down"], b"estimated")):
            with self.subTest(origin=origin):
                server = self.archive("--synthetic", self.SPEC, *drill_down)
                truth = server.truth("N")
                mount = self.mount(server, cache=self.cache + origin.decode())
                sizes = {path: os.stat(mount / path).st_size for path in truth}
                self.assertEqual({os.getxattr(mount / path, "user.tcia.size") for path in truth},
                                 {origin})
                if origin == b"advertised":
                    self.assertEqual(sizes, {path: size for path, (_, size) in truth.items()})
                else:
                    for path, (_, size) in truth.items():
                        self.assertGreaterEqual(sizes[path], size, "rounded up, never down")
                self.assertEqual(server.requests("images"), 0)
                self.check_kept_by_the_kernel(mount, next(iter(truth)), origin == b"advertised")
                self.check_opened(mount, truth)
                self.assertEqual({os.getxattr(mount / path, "user.tcia.size") for path in truth},
                                 {b"exact"})
                mount.unmount()

    def check_kept_by_the_kernel(self, mount, path, kept):
        """A daemon that is stopped answers nothing: what comes all the same, the kernel has kept.
        """
        os.stat(mount / path)
        mount.process.send_signal(signal.SIGSTOP)
        try:
            stat = self.background("stat", "-c", "%s", mount / path, stdout=harness.DISCARD)
            if kept:
                self.assertEqual(stat.wait(harness.WAIT_S), 0)
            else:
                with self.assertRaises(harness.subprocess.TimeoutExpired):
                    stat.wait(0.5)
        finally:
            mount.process.send_signal(signal.SIGCONT)
        self.assertEqual(stat.wait(harness.WAIT_S), 0)


class Replaced(harness.MountCase):
    def check(self, other_size):
        server = self.archive("--synthetic",
                              "A:patients=1,studies=1,series=1,images=2,size=256x256")
        mount = self.mount(server, options=["--metadata-ttl", "1s"],
                           cache=f"{self.cache}{other_size}")
        harness.walk_files(mount.path)
        old = server.truth("A")
        path = sorted(old)[0]
        file = os.open(mount / path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        untouched = os.open(mount / path, os.O_RDONLY)
        self.addCleanup(os.close, untouched)
        begin = os.pread(file, 4096, 0)  # the kernel is to ask for the rest later
        mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        self.addCleanup(mapped.close)
        server.mutate(replace_series=path.split("/")[3], other_size=other_size)
        new = server.truth("A")
        self.assertNotEqual(old[path][0], new[path][0])
        harness.wait_for(lambda: harness.md5_of(mount / path) == new[path][0], "the new bytes")
        self.assertEqual(os.stat(mount / path).st_size, new[path][1])
        self.assert_old(old[path], begin + self.rest(file, len(begin)))
        self.assert_old(old[path], self.rest(untouched, 0))
        self.assert_old(old[path], mapped[:])
        self.assertEqual(harness.md5_of(mount / path), new[path][0])

    def rest(self, file, offset):
        pieces = []
        while piece := os.pread(file, 4096, offset):
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def assert_old(self, truth, content):
        self.assertEqual((hashlib.md5(content).hexdigest(), len(content)), truth)

    def test_b5(self):
        """B5: A series replaced in the archive is noticed when its listing is next renewed. Files
        opened before keep the old bytes, or give ESTALE where these are lost, never a mixture."""
        for other_size in (False, True):
            with self.subTest(other_size=other_size):
                self.check(other_size)

    def test_b5_not_before(self):
        """B5: A series replaced in the archive is noticed when its listing is next renewed.

        Until then the old bytes are consistent.
        """
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        mount = self.mount(server, options=["--metadata-ttl", "1h"])
        old = server.truth("A")
        for path, (md5, _) in old.items():
            self.assertEqual(harness.md5_of(mount / path), md5)
        server.mutate(replace_series=path.split("/")[3])
        for path, (md5, _) in old.items():
            self.assertEqual(harness.md5_of(mount / path), md5)


class WaysOfReading(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive(
            "--synthetic", "BIG:patients=1,studies=1,series=1,images=3,size=1024x1100")
        self.mounted = self.mount(self.server)
        self.truth = self.server.truth("BIG")
        self.path = sorted(self.truth)[1]
        with open(self.mounted / self.path, "rb") as file:
            self.whole = file.read()
        self.assertEqual(hashlib.md5(self.whole).hexdigest(), self.truth[self.path][0])
        self.assertGreater(len(self.whole), 2 << 20)

    def opened(self):
        file = os.open(self.mounted / self.path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        return file

    def test_b6(self):
        """B6: mmap(2), pread(2) anywhere, sendfile(2), parallel readers and readers of one file in
        many processes work."""
        self.check_mmap()
        self.check_pread()
        self.check_sendfile()
        self.check_parallel_readers()
        self.check_processes()

    def check_mmap(self):
        with mmap.mmap(self.opened(), 0, access=mmap.ACCESS_READ) as mapped:
            for begin in (0, 4097, len(self.whole) - 5000):
                self.assertEqual(mapped[begin:begin + 9000], self.whole[begin:begin + 9000])
            self.assertEqual(mapped[:], self.whole)

    def check_pread(self):
        chance = random.Random(20)
        file = self.opened()
        for _ in range(300):
            offset = chance.randrange(len(self.whole) + 5000)
            size = chance.choice([1, 17, 4096, 65536, 1 << 20])
            self.assertEqual(os.pread(file, size, offset), self.whole[offset:offset + size])

    def check_sendfile(self):
        file = self.opened()
        with open(os.path.join(self.directory, "copy"), "w+b") as copy:
            sent = 0
            while piece := os.sendfile(copy.fileno(), file, sent, 1 << 20):
                sent += piece
            copy.seek(0)
            self.assertEqual(copy.read(), self.whole)

    def check_parallel_readers(self):
        file = self.opened()
        pieces = range(0, len(self.whole), 100_000)
        with concurrent.futures.ThreadPoolExecutor(16) as readers:
            read = b"".join(readers.map(lambda offset: os.pread(file, 100_000, offset), pieces))
        self.assertEqual(read, self.whole)

    def check_processes(self):
        readers = [self.background("cmp", self.mounted / self.path, "-", stdin=harness.PIPE)
                   for _ in range(8)]
        for reader in readers:
            reader.communicate(self.whole, timeout=harness.WAIT_S)
            self.assertEqual(reader.returncode, 0)

    def test_b6_size_only_guessed(self):
        """B6: mmap(2), pread(2) anywhere, sendfile(2), parallel readers and readers of one file in
        many processes work.

        sendfile asks for no size: the kernel must have been told before open returned.
        """
        server = self.archive("--no-drill-down", "--synthetic",
                              "GUESS:patients=1,studies=1,series=1,images=4,size=300x300")
        for policy in ("zero", "estimate"):
            mount = self.mount(server, cache=self.cache + policy,
                               options=["--unknown-size", policy])
            for path, (md5, size) in server.truth("GUESS").items():
                with self.subTest(policy=policy), open(mount / path, "rb") as file, \
                        open(os.path.join(self.directory, "sent"), "w+b") as copy:
                    sent = 0
                    while piece := os.sendfile(copy.fileno(), file.fileno(), sent, 1 << 20):
                        sent += piece
                    self.assertEqual(sent, size)
                    self.assertEqual(harness.md5_of(copy.name), md5)


class Healing(Case):
    def test_b7(self):
        """B7: When a transfer is incomplete or damaged, what is missing is fetched again; if that
        does not help, the instances concerned give EIO and the others stay readable."""
        for action in ({"action": "drop_entries"}, {"action": "corrupt"}, {"action": "wrong_crc"},
                       {"action": "wrong_md5"}):
            with self.subTest(action=action):
                self.cache += "x"
                server, mount, truth = self.series("images=8")
                server.plan(zip_fault(1, k=[2, 5], **action))
                self.assertEqual(self.read_all(mount, truth), truth)
                # What was missing was asked for again, not everything image by image.
                harness.wait_for(lambda: server.requests("images") >= 2, "the missing is fetched")
                self.assertLessEqual(server.requests("images"), 4, server.counters())

    def test_b7_what_stays_missing(self):
        """B7: When a transfer is incomplete or damaged, what is missing is fetched again; if that
        does not help, the instances concerned give EIO and the others stay readable."""
        for action in ({"action": "drop_entries"}, {"action": "not_dicom"}):
            with self.subTest(action=action):
                self.cache += "x"
                server, mount, truth = self.series("images=6")
                bad = self.zipped(server, truth)[1][3]
                server.plan(zip_fault(-1, k=3, **action), single_fault(bad))
                outcomes = self.read_all(mount, truth)
                self.assertEqual(outcomes, {**truth, bad: "EIO"})
                self.assertTrue(os.getxattr(mount / bad, "user.tcia.error"))


if __name__ == "__main__":
    harness.main()
