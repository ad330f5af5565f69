# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Every byte that comes out of a mount is the archive's."""

import concurrent.futures
import mmap
import os
import random
import unittest

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


class WaysOfReading(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.archive_server = self.archive(
            "--synthetic", "BIG:patients=1,studies=1,series=1,images=3,size=1024x1100")
        self.mounted = self.mount(self.archive_server)
        self.truth = self.archive_server.truth("BIG")
        self.path = sorted(self.truth)[1]
        with open(self.mounted / self.path, "rb") as file:
            self.whole = file.read()
        self.assertEqual(len(self.whole), self.truth[self.path][1])
        self.assertGreater(len(self.whole), 2 << 20)

    def test_pread_anywhere(self):
        chance = random.Random(20)
        file = os.open(self.mounted / self.path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        for _ in range(500):
            offset = chance.randrange(len(self.whole) + 5000)
            size = chance.choice([1, 17, 4096, 65536, 1 << 20])
            self.assertEqual(os.pread(file, size, offset), self.whole[offset:offset + size])

    def test_direct_io_and_sendfile(self):
        file = os.open(self.mounted / self.path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        copy = os.open(os.path.join(self.directory, "copy"), os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, copy)
        sent = 0
        while sent < len(self.whole):
            sent += os.sendfile(copy, file, sent, len(self.whole) - sent)
        self.assertEqual(os.pread(copy, len(self.whole) + 1, 0), self.whole)

    def test_sendfile_of_a_size_that_was_only_guessed(self):
        """sendfile asks for no size: the kernel must have been told before open returned."""
        server = self.archive("--synthetic", "GUESS:patients=1,studies=1,series=1,images=4,size=300x300",
                              "--no-drill-down")
        for policy in ("zero", "estimate"):
            mount = self.mount(server, cache=self.cache + policy, options=["--unknown-size", policy])
            for path, (md5, size) in server.truth("GUESS").items():
                with self.subTest(policy=policy), open(mount / path, "rb") as file, \
                        open(os.path.join(self.directory, "sent"), "w+b") as copy:
                    sent = 0
                    while piece := os.sendfile(copy.fileno(), file.fileno(), sent, 1 << 20):
                        sent += piece
                    self.assertEqual(sent, size)
                    self.assertEqual(harness.md5_of(copy.name), md5)

    def test_mmap(self):
        with open(self.mounted / self.path, "rb") as file, \
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            self.assertEqual(mapped[:], self.whole)

    def test_many_processes_read_one_file(self):
        readers = [self.background("cmp", self.mounted / self.path, "-", stdin=harness.PIPE) for _ in range(8)]
        for reader in readers:
            reader.communicate(self.whole, timeout=harness.WAIT_S)
            self.assertEqual(reader.returncode, 0)

    def test_after_the_page_cache_was_dropped(self):
        file = os.open(self.mounted / self.path, os.O_RDONLY)
        self.addCleanup(os.close, file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(os.pread(file, len(self.whole), 0), self.whole)

    def test_after_a_remount_without_network(self):
        self.archive_server.stop()
        again = self.remount(self.mounted, self.archive_server, options=["--offline"])
        self.assertEqual(harness.md5_of(again / self.path), self.truth[self.path][0])


if __name__ == "__main__":
    harness.main()
