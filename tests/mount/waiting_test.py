# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Nothing hangs: blocked readers disturb nobody, an interrupt ends a wait, and so does unmounting."""

import errno
import os
import signal
import statistics
import threading
import time

import harness

READERS = 1000


def time_of(call, times=30):
    """The median of several runs, in seconds."""
    spans = []
    for _ in range(times):
        start = time.monotonic()
        call()
        spans.append(time.monotonic() - start)
    return statistics.median(spans)


class Blocked(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive(
            "--synthetic", "SLOW:patients=10,studies=1,series=1,images=10",
            "--synthetic", "FAST:patients=50,studies=1,series=1,images=2")
        self.mounted = self.mount(self.server, options=["--io-timeout", "120s"])
        self.slow = ["SLOW/" + path for path in harness.walk_files(self.mounted / "SLOW")]
        harness.walk_files(self.mounted / "FAST")
        self.asked = 0
        self.server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"})

    def list_fast(self):
        """A listing, and names the kernel has not heard of: those it has to ask for."""
        os.listdir(self.mounted / "FAST")
        for _ in range(20):
            self.asked += 1
            self.assertFalse(os.path.exists(self.mounted / f"FAST/no-{self.asked}"))

    def block(self, count):
        """Threads of another process than the daemon, all waiting in open()."""
        started = threading.Semaphore(0)
        outcomes = []

        def read(path):
            started.release()
            try:
                harness.md5_of(self.mounted / path)
                outcomes.append("read")
            except OSError as failure:
                outcomes.append(errno.errorcode[failure.errno])
        threading.stack_size(256 * 1024)
        threads = [threading.Thread(target=read, args=(self.slow[i % len(self.slow)],), daemon=True)
                   for i in range(count)]
        for thread in threads:
            thread.start()
        for _ in threads:
            started.acquire()
        harness.wait_for(lambda: self.server.active("Image") >= 2, "downloads stall")
        return threads, outcomes

    def test_a_thousand_blocked_readers_slow_nobody_and_unmount_ends_them(self):
        alone = time_of(self.list_fast)
        threads, outcomes = self.block(READERS)
        beside = time_of(self.list_fast)
        # Generous for a shared machine; waiting for even one of them would be minutes.
        self.assertLess(beside, alone * 3 + 0.1)
        self.assertEqual(outcomes, [])
        start = time.monotonic()
        self.mounted.unmount()
        for thread in threads:
            thread.join(harness.WAIT_S)
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(len(outcomes), READERS)
        self.assertNotIn("read", outcomes)

    def test_interrupt_ends_a_blocked_cat_at_once(self):
        cat = self.background("cat", self.mounted / self.slow[0])
        harness.wait_for(lambda: self.server.active("Image") >= 1, "cat waits")
        cat.send_signal(signal.SIGINT)
        self.assertEqual(cat.wait(5), -signal.SIGINT)

    def test_a_listing_that_stalls_can_be_interrupted(self):
        fresh = self.archive("--synthetic", "NEW:patients=1,studies=1,series=1,images=1")
        fresh.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        mount = self.mount(fresh, cache=self.cache + "2")
        listing = self.background("ls", mount.path, stderr=harness.DISCARD)
        harness.wait_for(fresh.active, "the listing is asked for")
        listing.send_signal(signal.SIGINT)
        self.assertEqual(listing.wait(5), -signal.SIGINT)

    def test_sigterm_ends_the_daemon_with_downloads_under_way(self):
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=signal_number):
                harness.wait_for(lambda: self.server.active("Image") == 0, "nothing stalls")
                mount = self.mount(self.server, cache=self.cache + str(int(signal_number)))
                reader = self.background("cat", mount / self.slow[0], stdout=harness.DISCARD, stderr=harness.DISCARD)
                harness.wait_for(lambda: self.server.active("Image") > 0, "a download")
                mount.process.send_signal(signal_number)
                self.assertEqual(mount.process.wait(10), 0)
                self.assertFalse(harness.is_mounted(mount.path))
                self.assertNotEqual(reader.wait(10), 0)
                self.assertEqual(os.listdir(mount.path), [])


class Deadlines(harness.MountCase):
    def test_no_progress_is_etimedout(self):
        server = self.archive("--synthetic", "A:patients=2,studies=1,series=1,images=4,size=128x128")
        mount = self.mount(server, options=["--io-timeout", "500ms"])
        paths = harness.walk_files(mount / "A")
        for action in ({"action": "stall_before_head"},
                       {"action": "stall_after_bytes", "n": 20000}):
            with self.subTest(action=action):
                server.plan({"endpoint": "*/getImage*", "times": -1, **action})
                start = time.monotonic()
                with self.assertRaises(TimeoutError):
                    open(mount / ("A/" + paths[-1]), "rb").close()
                self.assertLess(time.monotonic() - start, 15)
                server.plan()
                time.sleep(1.2)  # a time-out is remembered for a moment, not for long
        self.assertTrue(harness.md5_of(mount / ("A/" + paths[-1])))

    def test_a_slow_but_steady_download_is_not_cut(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=4,size=64x64",
                              "--zip-level", 0)
        mount = self.mount(server, options=["--io-timeout", "700ms"])
        truth = server.truth("A")
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "drip",
                     "n": 12000})
        for path, (md5, _) in truth.items():
            self.assertEqual(harness.md5_of(mount / path), md5)

    def test_a_listing_without_progress_is_etimedout(self):
        server = self.archive("--synthetic", "A:patients=2,studies=1,series=1,images=4")
        server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        mount = self.mount(server, options=["--io-timeout", "500ms"])
        with self.assertRaises(TimeoutError):
            os.listdir(mount.path)
        server.plan()

        def recovered():
            try:
                return os.listdir(mount.path) == ["A"]
            except OSError:
                return False
        harness.wait_for(recovered, "the listing recovers")


if __name__ == "__main__":
    harness.main()
