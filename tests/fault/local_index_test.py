# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Bits flip in instance files, in the index, in the catalog; formats are newer; two use one cache."""

import os
import random
import sys

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crash"))
import crashes  # noqa: E402

SPEC = "C:patients=2,studies=1,series=2,images=4,size=128x128"
SEED = int(os.environ.get("TCIAFS_FAULT_SEED", "1"))
ROUNDS = int(os.environ.get("TCIAFS_FAULT_ROUNDS", "6"))
CANNOT_USE_CACHE = 6


def flip(path, chance):
    at = chance.randrange(os.path.getsize(path))
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))
    return at


def content(top):
    """Every file below with what is in it."""
    found = {}
    for path in harness.walk_files(top):
        with open(os.path.join(top, path), "rb") as file:
            found[path] = file.read()
    return found


class Index(crashes.CrashCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", SPEC, "--zip-level", 1)
        self.truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        self.allowed = {path: {md5} for path, md5 in self.truth.items()}
        self.chance = random.Random(SEED)

    def start(self, *options):
        mount = self.faulty_mount(self.server, options=options)
        self.assertIsNotNone(mount)
        return mount

    def fill(self):
        mount = self.start()
        harness.walk_files(mount.path)
        self.read(mount)
        return mount

    def read(self, mount):
        for path, md5 in self.truth.items():
            self.assertEqual(harness.md5_of(mount / path), md5, path)

    def images(self, *parts):
        return os.path.join(self.cache, "images", *parts)

    def instance_files(self):
        return [self.images("series", path) for path in harness.walk_files(self.images("series"))]

    def test_a_bit_in_any_instance_file(self):
        self.fill().unmount()
        for number in range(ROUNDS):
            damaged = self.chance.choice(self.instance_files())
            at = flip(damaged, self.chance)
            with self.subTest(round=number, seed=SEED, file=damaged, byte=at):
                mount = self.start()
                self.server.reset()
                self.read(mount)
                self.assertIn("it will be fetched again", mount.log())
                self.assertGreater(self.server.requests("images"), 0)
                mount.unmount()
                self.audit()

    def test_a_bit_anywhere_in_a_store(self):
        """Closed well every bit is seen; after a crash what matters is. Never does the process die."""
        for number in range(ROUNDS):
            store = self.chance.choice((self.images("index", "data.mdb"),
                                        os.path.join(self.cache, "catalog", "data.mdb")))
            crashed = number % 2 == 1
            mount = self.fill()
            mount.kill() if crashed else mount.unmount()
            mount.end()
            at = flip(store, self.chance)
            with self.subTest(round=number, seed=SEED, store=store, byte=at, crashed=crashed):
                mount = self.start()
                if not crashed:
                    self.assertIn("set aside", mount.log())
                names = harness.walk_files(mount.path)
                if not crashed:
                    self.assertEqual(names, sorted(self.truth))
                for path in names:
                    if path in self.truth:
                        self.assertIn(crashes.read_or_none(mount / path), (self.truth[path], None))
                mount.unmount()
                self.audit()
            os.rename(self.cache, f"{self.cache}.{number}")

    def test_what_is_set_aside_heals(self):
        for store in ("images/index", "catalog"):
            with self.subTest(store=store):
                self.fill().unmount()
                flip(os.path.join(self.cache, store, "data.mdb"), self.chance)
                self.check_whole(self.server, self.truth)
                offline = self.start("--offline")
                self.read(offline)
                offline.unmount()

    def refused(self, words):
        with self.assertRaises(AssertionError) as failure:
            self.mount(self.server)
        self.assertIn(f"mount ended with {CANNOT_USE_CACHE}: ", str(failure.exception))
        self.assertIn(words, str(failure.exception))

    def test_a_newer_format_is_refused_and_not_touched(self):
        self.fill().unmount()
        with open(self.images("FORMAT"), "w", encoding="utf-8") as file:
            file.write("tciafs-cache 3\n")
        before = content(self.cache)
        self.refused("written by a newer tciafs (format 3, this one knows 2)")
        self.assertEqual(content(self.cache), before, "nothing is touched")
        with open(self.images("FORMAT"), "w", encoding="utf-8") as file:
            file.write("tciafs-cache 2\n")
        offline = self.start("--offline")
        self.read(offline)
        offline.unmount()

    def test_two_on_one_cache(self):
        first = self.fill()
        self.refused(f"in use by process {first.process.pid}")
        self.read(first)
        first.unmount()
        second = self.start("--offline")
        self.read(second)
        second.unmount()
        self.audit()


if __name__ == "__main__":
    harness.main()
