# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What is promised of waiting, ending and coming back: tciafs(7), T1 to T5.

Upper bounds here only tell "at once" from "when the time-out is over", which is far away.
"""

import json
import os
import random
import signal
import threading
import time

import harness

STALL = {"times": -1, "action": "stall_before_head"}
SECONDS = 15  # "within seconds", on a machine with other things to do


class TimeOut(harness.MountCase):
    def three_collections(self):
        spec = ":patients=1,studies=1,series=1,images=4,size=128x128"
        return self.archive(*[word for name in "ABC" for word in ("--synthetic", name + spec)])

    def assert_times_out(self, call, *arguments):
        start = time.monotonic()
        self.assertEqual(harness.failure_of(call, *arguments), "ETIMEDOUT")
        self.assertLess(time.monotonic() - start, 2 * SECONDS)

    def test_t1(self):
        """T1: An operation that makes no progress for the time-out (60 seconds unless set) ends
        with ETIMEDOUT."""
        told = harness.run(harness.PROGRAM, "mount", "--help").stdout
        self.assertRegex(told, r"--io-timeout[^\n]*\n?[^\n]*60s")
        server = self.three_collections()
        mount = self.mount(server, options=["--io-timeout", "500ms"])
        files = [mount / f"A/{path}" for path in harness.walk_files(mount / "A")]
        # All but the list of collections: the server as such is not to count as down.
        server.plan(*[{"endpoint": call, **STALL}
                      for call in ("*/getPatient*", "*/getSeries*", "*/getImage*", "*Search*")])
        self.assert_times_out(os.listdir, mount / "B")
        self.assert_times_out(os.stat, mount / "C/nobody")
        self.assert_times_out(open, files[0])
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_after_bytes",
                     "n": 20000})
        time.sleep(1.2)  # a time-out is remembered for a moment, not for long
        self.assert_times_out(open, files[-1])
        server.plan()
        for call, path in ((os.listdir, mount / "B"), (open, files[-1])):
            harness.wait_for(lambda: harness.failure_of(call, path) is None, f"{path} recovers")

    def test_t1_progress(self):
        """T1: An operation that makes no progress for the time-out (60 seconds unless set) ends
        with ETIMEDOUT. The time a download waits for its place behind others does not count.

        The first of two downloads drips for three times as long as the time-out; the second waits
        for its end.
        """
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=2,images=4,size=64x64",
                              "--zip-level", 0)
        mount = self.mount(server, options=["--io-timeout", "700ms", "--downloads", 1])
        truth = server.truth("A")
        paths = sorted(truth)
        harness.walk_files(mount.path)
        server.plan({"endpoint": "*/getImage*", "times": 1, "action": "drip", "n": 17000})
        outcomes = {}

        def read(path):
            outcomes[path] = harness.outcome_of_reading(mount / path)
        threads = [threading.Thread(target=read, args=(path,)) for path in paths]
        start = time.monotonic()
        for thread in threads:
            thread.start()
            harness.wait_for(lambda: server.active("getImage"), "a download", timeout_s=SECONDS)
        for thread in threads:
            thread.join()
        self.assertGreater(time.monotonic() - start, 1.4)
        self.assertEqual(outcomes, {path: md5 for path, (md5, _) in truth.items()})
        self.assertEqual(server.requests("images"), 2, server.counters())

    def test_t1_interrupt(self):
        """T1: An interrupt (Ctrl-C) ends any wait at once."""
        server = self.three_collections()
        mount = self.mount(server)
        file = mount / f"A/{harness.walk_files(mount / 'A')[0]}"
        harness.wait_for(lambda: server.active() == 0, "nothing is under way")
        server.plan({"endpoint": "*", **STALL})
        waits = (["cat", file], ["ls", mount / "B"], ["stat", mount / "C/nobody"])
        for number, command in enumerate(waits, 1):
            with self.subTest(command=command[0]):
                waiting = self.background(*command, stdout=harness.DISCARD, stderr=harness.DISCARD)
                harness.wait_for(lambda: server.active() >= number, "it waits")
                self.assertIsNone(waiting.poll())
                waiting.send_signal(signal.SIGINT)
                self.assertEqual(waiting.wait(SECONDS), -signal.SIGINT)


class Offline(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=3,studies=1,series=1,images=3",
                                   "--synthetic", "B:patients=3,studies=1,series=1,images=3")
        mount = self.mount(self.server)
        self.files = harness.walk_files(mount / "A")
        self.read = self.files[0]
        self.md5 = harness.md5_of(mount / f"A/{self.read}")
        mount.unmount()

    def assert_cached_is_served(self, mount):
        self.assertEqual(os.listdir(mount.path), ["A", "B"])
        self.assertEqual(harness.walk_files(mount / "A"), self.files)
        self.assertEqual(harness.md5_of(mount / f"A/{self.read}"), self.md5)

    def test_t2(self):
        """T2: Without the network, and with --offline, cached listings and cached instances are
        served; the rest fails at once."""
        mount = self.mount(self.server, options=["--offline"])
        self.server.reset()
        self.assert_cached_is_served(mount)
        unread = mount / f"A/{self.files[-1]}"
        start = time.monotonic()
        for _ in range(20):
            self.assertEqual(harness.outcome_of_reading(unread), "ENETUNREACH")
            self.assertEqual(harness.failure_of(os.listdir, mount / "B"), "ENETUNREACH")
        self.assertLess(time.monotonic() - start, SECONDS)
        self.assertEqual(set(self.server.counters()["totals"].values()), {0})

    def test_t2_without_the_network(self):
        """T2: Without the network, and with --offline, cached listings and cached instances are
        served; the rest fails at once."""
        self.server.stop()
        mount = self.mount(self.server)
        self.assert_cached_is_served(mount)
        start = time.monotonic()
        self.assertIn(harness.outcome_of_reading(mount / f"A/{self.files[-1]}"),
                      ("EIO", "ENETUNREACH"))
        self.assertIn(harness.failure_of(os.listdir, mount / "B"), ("EIO", "ENETUNREACH"))
        self.assertLess(time.monotonic() - start, 2 * SECONDS)
        self.server.restart()
        harness.wait_for(lambda: harness.failure_of(os.listdir, mount / "B") is None,
                         "it comes back by itself", timeout_s=90)


class Ending(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=4,studies=1,series=1,images=4")

    def end_with_downloads_under_way(self, mount, end):
        files = harness.walk_files(mount / "A")
        self.server.plan({"endpoint": "*/getImage*", **STALL})
        readers = [self.background("cat", mount / f"A/{path}", stdout=harness.DISCARD,
                                   stderr=harness.DISCARD) for path in files]
        harness.wait_for(lambda: self.server.active("Image") >= 2, "downloads stall")
        opened = os.open(mount / "A", os.O_RDONLY)  # the mount is in use besides
        self.addCleanup(os.close, opened)
        start = time.monotonic()
        end()
        self.assertEqual(mount.process.wait(SECONDS), 0)
        self.assertLess(time.monotonic() - start, SECONDS)
        for reader in readers:
            self.assertNotEqual(reader.wait(SECONDS), 0)
        self.assertFalse(harness.is_mounted(mount.path))
        self.assertEqual(os.listdir(mount.path), [], "an empty directory as before")
        self.server.plan()

    def test_t3(self):
        """T3: tciafs umount and SIGTERM end the serving process within seconds, also with downloads
        under way, and leave no broken mountpoint."""
        mount = self.mount(self.server)
        self.end_with_downloads_under_way(
            mount, lambda: harness.run(harness.PROGRAM, "umount", mount.path,
                                       env=harness.clean_environment()))
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=signal_number):
                harness.wait_for(lambda: self.server.active("Image") == 0, "nothing stalls")
                mount = self.mount(self.server)
                self.end_with_downloads_under_way(
                    mount, lambda: mount.process.send_signal(signal_number))
        mount = self.mount(self.server)
        for path, (md5, _) in self.server.truth("A").items():
            self.assertEqual(harness.md5_of(mount / path), md5)


class Crashes(harness.MountCase):
    def read_outcomes(self, mount, truth):
        """What can be read must be right: {path: it could be read}."""
        readable = {}
        for path, (md5, _) in truth.items():
            outcome = harness.outcome_of_reading(mount / path)
            self.assertIn(outcome, (md5, "ENETUNREACH"), path)
            readable[path] = outcome == md5
        return readable

    def test_t4(self):
        """T4: The process may be killed, or the power fail, at any moment: the next mount serves
        correct bytes and keeps what was published."""
        server = self.archive("--bandwidth", 6_000_000, "--zip-level", 1, "--synthetic",
                              "C:patients=2,studies=1,series=3,images=12,size=128x128")
        truth = server.truth("C")
        chance = random.Random(7)
        kept = set()
        for _ in range(4):
            mount = self.mount(server)
            self.assertEqual(harness.walk_files(mount.path), sorted(truth))
            readers = [self.background("md5sum", *[mount / path for path in part], text=True,
                                       stdout=harness.PIPE, stderr=harness.DISCARD)
                       for part in (sorted(truth)[::2], sorted(truth)[1::2])]
            time.sleep(chance.uniform(0.05, 0.5))
            mount.kill()
            for reader in readers:
                lines = reader.communicate(timeout=harness.WAIT_S)[0].splitlines()
                kept |= {os.path.relpath(line.split("  ", 1)[1], mount.path) for line in lines}
            survivor = self.mount(server, options=["--offline"])
            readable = self.read_outcomes(survivor, truth)
            self.assertLessEqual(kept, {path for path in truth if readable[path]},
                                 "what was read once had been published")
            survivor.unmount()
        self.assertTrue(kept)
        mount = self.mount(server)
        self.assertTrue(all(self.read_outcomes(mount, truth).values()))

    def test_t4_power_failure(self):
        """T4: The process may be killed, or the power fail, at any moment: the next mount serves
        correct bytes and keeps what was published.

        What a power failure leaves of files that had not reached the disk: nothing, a part, or
        zeros.
        """
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=1,images=6,size=64x64")
        truth = server.truth("C")
        mount = self.mount(server)
        self.assertEqual(harness.walk_files(mount.path), sorted(truth))
        self.assertTrue(all(self.read_outcomes(mount, truth).values()))
        mount.kill()
        files = self.cache_files()
        os.unlink(files[0])
        os.truncate(files[1], 4096)
        os.truncate(files[2], 0)
        size = os.stat(files[3]).st_size
        with open(files[3], "r+b") as file:
            file.write(bytes(size))
        survivor = self.mount(server, options=["--offline"])
        readable = self.read_outcomes(survivor, truth)
        self.assertEqual(sorted(readable.values()), [False] * 4 + [True] * 2)
        survivor.unmount()
        mount = self.mount(server)
        self.assertTrue(all(self.read_outcomes(mount, truth).values()))

    def cache_files(self):
        return sorted(os.path.join(directory, name)
                      for directory, _, names in os.walk(os.path.join(self.cache, "images"))
                      for name in names if name.endswith(".dcm"))


class WithoutNetwork(harness.MountCase):
    def test_t5(self):
        """T5: statfs(2) answers without the network; what it tells is the cache."""
        server = self.archive("--zip-level", 0, "--synthetic",
                              "A:patients=1,studies=1,series=1,images=8,size=512x512")
        mount = self.mount(server, options=["--cache-size", "64M"])
        paths = harness.walk_files(mount.path)
        empty = os.statvfs(mount.path)
        self.assertEqual(empty.f_blocks * empty.f_frsize, 64 << 20)
        self.assertEqual(empty.f_files, 0)
        for path in paths:
            harness.md5_of(mount / path)
        server.plan({"endpoint": "*", **STALL})
        server.reset()
        full = os.statvfs(mount / paths[0])
        self.assertEqual((full.f_blocks, full.f_files, full.f_namemax), (empty.f_blocks, 8, 255))
        taken = (empty.f_bavail - full.f_bavail) * full.f_frsize
        self.assertGreaterEqual(taken, sum(os.stat(mount / path).st_size for path in paths))
        self.assertLess(taken, 8 << 20)
        server.stop()
        self.assertEqual(harness.run("df", mount.path, timeout_s=SECONDS).stderr, "")
        mount = self.remount(mount, server)
        self.assertEqual(os.statvfs(mount.path).f_files, 8)

    def test_t5_hidden_files(self):
        """T5: So do /.tcia/status.json, /.tcia/metrics and whatever in .tcia tells rows that have
        been listed before."""
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        listed = self.mount(server)
        tables = [f"{top}/.tcia/{name}" for top, name in (
            (".", "collections.csv"), ("A", "patients.csv"), ("A", "series.json"))]
        before = {table: harness.run("cat", listed / table).stdout for table in tables}
        listed.unmount()
        server.plan({"endpoint": "*", **STALL})
        stalled = self.mount(server)
        dead = self.mount("http://127.0.0.1:9/nbia-api", cache=self.cache + "2")
        offline = self.mount(server, options=["--offline"], cache=self.cache + "3")
        server.reset()
        for mount in (stalled, dead, offline):
            names = harness.run("ls", mount / ".tcia", timeout_s=SECONDS).stdout
            self.assertIn("status.json", names)
            status = harness.run("cat", mount / ".tcia/status.json", timeout_s=SECONDS).stdout
            metrics = harness.run("cat", mount / ".tcia/metrics", timeout_s=SECONDS).stdout
            self.assertIn(f"\ntciafs_offline {1 if mount is offline else 0}\n", metrics)
            told = json.loads(status)
            self.assertEqual(len(told["servers"]), 1)
            self.assertEqual(told["offline"], mount is offline)
            self.assertIn("cap_bytes", told["cache"])
        for table in tables:
            self.assertEqual(harness.run("cat", stalled / table, timeout_s=SECONDS).stdout,
                             before[table])


if __name__ == "__main__":
    harness.main()
