# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Listings: fresh for their time, answered while they are renewed, never shorter by mistake."""

import errno
import os
import time

import harness

TTL_S = 1


class Freshness(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=4,studies=1,series=2,images=3",
                                   "--synthetic", "B:patients=2,studies=1,series=1,images=2")

    def mount_with_ttl(self, ttl=f"{TTL_S}s"):
        return self.mount(self.server, options=["--metadata-ttl", ttl])

    def test_new_patients_appear(self):
        mount = self.mount_with_ttl()
        self.assertEqual(len(os.listdir(mount / "A")), 4)
        self.server.mutate(add_patients={"collection": "A", "count": 2})
        harness.wait_for(lambda: len(os.listdir(mount / "A")) == 6, "the new patients")

    def test_fresh_listings_cost_nothing(self):
        mount = self.mount_with_ttl("1h")
        harness.walk_files(mount.path)
        self.server.reset()
        self.server.mutate(add_patients={"collection": "A", "count": 2})
        self.assertEqual(len(os.listdir(mount / "A")), 4)
        self.assertEqual(self.server.requests("metadata"), 0)

    def test_a_dropped_collection_goes_in_the_end(self):
        mount = self.mount_with_ttl()
        self.assertEqual(os.listdir(mount.path), ["A", "B"])
        self.server.mutate(drop_collection="B")
        harness.wait_for(lambda: os.listdir(mount.path) == ["A"], "B has gone")
        self.server.mutate(restore_collection="B")
        harness.wait_for(lambda: os.listdir(mount.path) == ["A", "B"], "B is back")

    def test_an_empty_answer_does_not_empty_a_listing(self):
        mount = self.mount_with_ttl()
        before = harness.walk_files(mount.path)
        self.server.plan({"endpoint": "*", "times": -1, "action": "empty"})
        for _ in range(4):
            time.sleep(TTL_S)
            self.assertEqual(harness.walk_files(mount.path), before)

    def test_a_failing_server_does_not_empty_a_listing(self):
        mount = self.mount_with_ttl()
        before = harness.walk_files(mount.path)
        self.server.plan({"endpoint": "*", "times": -1, "action": "status", "code": 500})
        for _ in range(3):
            time.sleep(TTL_S)
            self.assertEqual(harness.walk_files(mount.path), before)

    def test_a_stale_listing_is_answered_before_its_renewal(self):
        mount = self.mount_with_ttl()
        os.listdir(mount / "A")
        self.server.plan({"endpoint": "*", "times": -1, "action": "latency_ms", "n": 5000})
        time.sleep(TTL_S + 0.2)
        start = time.monotonic()
        self.assertEqual(len(os.listdir(mount / "A")), 4)
        self.assertLess(time.monotonic() - start, 3)

    def test_a_replaced_series_is_noticed_and_never_mixed(self):
        mount = self.mount_with_ttl()
        old = self.server.truth("A")
        path = sorted(old)[0]
        uid = path.split("/")[3]
        handle = open(mount / path, "rb")
        self.addCleanup(handle.close)
        first_half = handle.read(1000)
        self.server.mutate(replace_series=uid)
        new = self.server.truth("A")
        self.assertNotEqual(old[path], new[path])
        harness.wait_for(lambda: harness.md5_of(mount / path) == new[path][0], "the new bytes")
        try:
            import hashlib
            whole = first_half + handle.read()
            self.assertEqual(hashlib.md5(whole).hexdigest(), old[path][0])
        except OSError as failure:
            self.assertEqual(failure.errno, errno.ESTALE)


class WithoutNetwork(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=3,studies=1,series=1,images=3")
        mount = self.mount(self.server)
        self.files = harness.walk_files(mount.path)
        self.read = self.files[0]
        self.md5 = harness.md5_of(mount / self.read)
        mount.unmount()

    def check(self, mount, error):
        self.assertEqual(harness.walk_files(mount.path), self.files)
        self.assertEqual(harness.md5_of(mount / self.read), self.md5)
        start = time.monotonic()
        with self.assertRaises(OSError) as failure:
            open(mount / self.files[-1], "rb").close()
        self.assertEqual(failure.exception.errno, error)
        return time.monotonic() - start

    def test_offline_fails_at_once_with_enetunreach(self):
        mount = self.mount(self.server, options=["--offline"])
        self.server.reset()
        self.assertLess(self.check(mount, errno.ENETUNREACH), 2)
        self.assertEqual(os.getxattr(mount / self.read, "user.tcia.cached"), b"1")
        self.assertEqual(os.getxattr(mount / self.files[-1], "user.tcia.cached"), b"0")
        self.assertEqual(self.server.counters()["totals"]["metadata"], 0)

    def test_a_dead_server_is_eio_and_the_rest_is_served(self):
        self.server.stop()
        self.check(self.mount(self.server), errno.EIO)


if __name__ == "__main__":
    harness.main()
