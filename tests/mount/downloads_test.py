# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""One download per series whoever reads, readable from its first instance on, verified, healed."""

import concurrent.futures
import errno
import os
import time

import harness


def outcome_of_reading(path):
    """md5, or the errno's name."""
    try:
        return harness.md5_of(path)
    except OSError as failure:
        return errno.errorcode[failure.errno]


class Downloads(harness.MountCase):
    def series(self, spec, *archive_options, options=()):
        """An archive with one series, mounted, its instances listed: (archive, mount, truth)."""
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=1," + spec,
                              *archive_options)
        mount = self.mount(server, options=options)
        truth = {path: md5 for path, (md5, _) in server.truth("C").items()}
        self.assertEqual(sorted(truth), ["C/" + path for path in harness.walk_files(mount / "C")])
        return server, mount, truth

    def read_all(self, mount, truth):
        return {path: outcome_of_reading(mount / path) for path in sorted(truth)}

    def test_fifty_readers_one_download(self):
        server, mount, truth = self.series("images=40,size=128x128", "--latency-ms", 100)
        paths = sorted(truth)
        with concurrent.futures.ThreadPoolExecutor(50) as readers:
            sums = list(readers.map(lambda i: harness.md5_of(mount / paths[i % 40]), range(50)))
        self.assertEqual(sums, [truth[paths[i % 40]] for i in range(50)])
        self.assertEqual(server.requests("images"), 1, server.counters())
        self.read_all(mount, truth)
        self.assertEqual(server.requests("images"), 1)

    def test_first_instance_long_before_the_last(self):
        # About 16 MB at 2 MB/s. The server sends instances in an order of its own, so the first to be
        # readable is found by waiting for all of them at once.
        _, mount, truth = self.series("images=500,size=128x128", "--bandwidth", 2_000_000,
                                      "--zip-level", 0)
        start = time.monotonic()

        def arrival(path):
            with open(mount / path, "rb"):
                return time.monotonic() - start
        with concurrent.futures.ThreadPoolExecutor(500) as readers:
            arrivals = sorted(readers.map(arrival, truth))
        self.assertGreater(arrivals[-1], 2, "the line was not throttled")
        self.assertLess(arrivals[0], arrivals[-1] / 10)

    def test_short_zip_is_healed(self):
        server, mount, truth = self.series("images=8")
        server.plan({"endpoint": "*/getImage*", "times": 1, "action": "drop_entries",
                     "k": [2, 5]})
        self.assertEqual(self.read_all(mount, truth), truth)
        # Exactly what was missing was asked for again, unless the whole series was.
        self.assertLessEqual(server.requests("images"), 4, server.counters())

    def test_what_stays_missing_is_an_error_and_the_rest_is_readable(self):
        server, mount, truth = self.series("images=6")
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "drop_entries", "k": 3},
                    {"endpoint": "*/getSingleImage", "times": -1, "action": "status", "code": 500})
        outcomes = self.read_all(mount, truth)
        missing = [path for path, outcome in outcomes.items() if outcome == "EIO"]
        self.assertEqual(len(missing), 1, outcomes)
        truth.pop(missing[0])
        outcomes.pop(missing[0])
        self.assertEqual(outcomes, truth)
        reason = os.getxattr(mount / missing[0], "user.tcia.error")
        self.assertTrue(reason)

    def test_damage_on_the_way_never_reaches_a_reader(self):
        for action in ({"action": "corrupt", "k": 2}, {"action": "wrong_crc", "k": 2},
                       {"action": "wrong_md5", "k": 2},
                       {"action": "reset_after_bytes", "n": 9000},
                       {"action": "close_after_bytes", "n": 9000}, {"action": "empty_zip"},
                       {"action": "license_only"}, {"action": "html"}, {"action": "no_md5"},
                       {"action": "duplicate_entry", "k": 1}, {"action": "evil_names"},
                       {"action": "foreign_instance"}, {"action": "not_dicom", "k": 1}):
            with self.subTest(action=action):
                server, mount, truth = self.series("images=6,size=64x64")
                server.plan({"endpoint": "*/getImage*", "times": 1, **action})
                self.assertEqual(self.read_all(mount, truth), truth)
                mount.unmount()
                server.stop()
                self.cache += "x"

    def test_an_entry_without_end_does_not_empty_a_small_cache(self):
        server = self.archive("--synthetic", "C:patients=2,studies=1,series=1,images=6")
        mount = self.mount(server, options=["--cache-size", "16M"])
        truth = server.truth("C")
        here, *_, there = sorted(truth)
        self.assertEqual(harness.md5_of(mount / here), truth[here][0])
        server.plan({"endpoint": "*/getImage*", "times": 1, "action": "bomb", "k": 2,
                     "n": 64 << 20})
        self.assertIn(outcome_of_reading(mount / there), (truth[there][0], "EIO"))
        self.assertEqual(os.getxattr(mount / here, "user.tcia.cached"), b"1")

    def test_refused_series_is_eacces_at_once(self):
        server, mount, truth = self.series("images=3")
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "status", "code": 400,
                     "body": "The user has not been granted the access to image with given "
                             "SeriesInstanceUID,X. Please contact System Admin to resolve this issue."})
        outcomes = self.read_all(mount, truth)
        self.assertEqual(set(outcomes.values()), {"EACCES"})
        self.assertEqual(server.requests("images"), 1, server.counters())

    def test_larger_than_the_cache_is_enospc_before_a_byte(self):
        server, mount, truth = self.series("images=100,size=512x512", options=["--cache-size", "20M"])
        path = sorted(truth)[0]
        self.assertEqual(outcome_of_reading(mount / path), "ENOSPC")
        self.assertEqual(server.requests("images"), 0)

    def test_the_cap_holds_while_downloading(self):
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=12,images=10,size=512x512")
        cap = 20 << 20
        mount = self.mount(server, options=["--cache-size", cap])
        for path, (md5, _) in sorted(server.truth("C").items()):
            self.assertEqual(harness.md5_of(mount / path), md5)
            images = os.path.join(self.cache, "images")
            used = int(harness.run("du", "-s", "-B1", images).stdout.split()[0])
            self.assertLessEqual(used, cap)
        space = os.statvfs(mount.path)
        self.assertLessEqual(abs(space.f_blocks * space.f_frsize - cap), space.f_frsize)


if __name__ == "__main__":
    harness.main()
