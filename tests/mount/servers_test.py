# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Several servers under one root, each with its own health."""

import os
import time

import harness

CALM_S = 20


class TwoServers(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.main = self.archive("--synthetic", "LIDC:patients=3,studies=1,series=1,images=2",
                                 "--synthetic", "QIN:patients=2,studies=1,series=1,images=2")
        self.nlst = self.archive("--synthetic", "NLST:patients=4,studies=1,series=1,images=2")

    def assert_usable(self, mount, server, collection):
        for path, (md5, size) in server.truth(collection).items():
            self.assertEqual(harness.md5_of(mount / path), md5)
            self.assertEqual(os.stat(mount / path).st_size, size)

    def test_they_stand_side_by_side(self):
        mount = self.mount(self.main, self.nlst)
        self.assertEqual(os.listdir(mount.path), ["LIDC", "NLST", "QIN"])
        self.assert_usable(mount, self.main, "LIDC")
        self.assert_usable(mount, self.nlst, "NLST")
        self.assertGreater(self.nlst.requests("images"), 0)
        self.assertEqual(self.main.requests("images"), 3)

    def test_either_down_from_the_start_leaves_the_other(self):
        for down, up, collection in ((self.nlst, self.main, "LIDC"), (self.main, self.nlst, "NLST")):
            with self.subTest(up=collection):
                down.stop()
                start = time.monotonic()
                mount = self.mount(self.main, self.nlst, cache=self.cache + collection)
                self.assertIn(collection, os.listdir(mount.path))
                self.assert_usable(mount, up, collection)
                self.assertLess(time.monotonic() - start, CALM_S)
                mount.unmount()
                down.restart()

    def test_a_server_that_hangs_blocks_nobody(self):
        self.nlst.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        mount = self.mount(self.main, self.nlst)
        start = time.monotonic()
        self.assertEqual(os.listdir(mount.path), ["LIDC", "QIN"])
        self.assertLess(time.monotonic() - start, CALM_S)
        self.assert_usable(mount, self.main, "QIN")

    def test_a_server_that_went_down_keeps_its_collections_listed(self):
        mount = self.mount(self.main, self.nlst)
        self.assertEqual(os.listdir(mount.path), ["LIDC", "NLST", "QIN"])
        self.nlst.stop()
        again = self.remount(mount, self.main, self.nlst)
        self.assertEqual(os.listdir(again.path), ["LIDC", "NLST", "QIN"])
        with self.assertRaises(OSError):
            os.listdir(again / "NLST")
        self.assert_usable(again, self.main, "LIDC")
        self.nlst.restart()

        def back():
            try:
                return len(os.listdir(again / "NLST")) == 4
            except OSError:
                return False
        harness.wait_for(back, "NLST is back by itself")


class Accounts(harness.MountCase):
    """What one account downloaded is not shown to another, though both use one cache directory."""

    def test_a_guest_sees_nothing_of_a_named_account(self):
        server = self.archive("--synthetic", "OPEN:patients=1,studies=1,series=1,images=2",
                              "--synthetic", "CLOSED:patients=1,studies=1,series=1,images=2",
                              "--user", "alice:right", "--restricted", "CLOSED=alice")
        secrets = os.path.join(self.directory, "secrets")
        with open(secrets, "w", encoding="utf-8", opener=lambda path, flags:
                  os.open(path, flags, 0o600)) as file:
            file.write("username = alice\npassword = right\n")
        alice = self.mount(server, options=["--api", "v2", "--credentials", secrets])
        self.assertEqual(os.listdir(alice.path), ["CLOSED", "OPEN"])
        paths = harness.walk_files(alice / "CLOSED")
        self.assertEqual(len(paths), 2)
        for path in paths:
            self.assertEqual(harness.md5_of(alice / f"CLOSED/{path}"),
                             server.truth("CLOSED")[f"CLOSED/{path}"][0])
        alice.unmount()
        guest = self.mount(server, options=["--api", "v2"])
        self.assertEqual(os.listdir(guest.path), ["OPEN"])
        for path in ["CLOSED", *(f"CLOSED/{path}" for path in paths)]:
            with self.assertRaises(FileNotFoundError):
                os.stat(guest / path)


if __name__ == "__main__":
    harness.main()
