# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Blocked readers disturb nobody, however many, and unmounting ends them."""

import errno
import os
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


class LookedUp(harness.MountCase):
    def test_a_lookup_that_waits_keeps_nobody_out_of_its_directory(self):
        """Nor does what the mount has to tell the kernel meanwhile: that there is a new patient."""
        server = self.archive("--synthetic", "C:patients=2,studies=1,series=1,images=2",
                              "--synthetic", "D:patients=1,studies=1,series=1,images=2")
        mounted = self.mount(server, options=["--io-timeout", "120s", "--metadata-ttl", "1s",
                                              "--unknown-size", "zero"])
        known = len(os.listdir(mounted / "C"))
        self.assertFalse(os.path.exists(mounted / "C/absent"))
        file = "D/" + harness.walk_files(mounted / "D")[0]
        server.plan({"endpoint": "*", "match": {"PatientID": "waited-for"}, "times": -1,
                     "action": "stall_before_head"})
        server.mutate(add_patients={"collection": "C", "count": 1})
        time.sleep(1.1)  # the list is old, so that a name it lacks is asked for
        waiting = self.background("stat", mounted / "C/waited-for", stderr=harness.DISCARD)
        harness.wait_for(server.active, "the name is asked for")
        harness.command("refresh", mounted / "C")
        harness.wait_for(lambda: len(harness.run("ls", mounted / "C").stdout.split()) > known,
                         "the new patient is listed")
        # Each of these would wait in the kernel, where nothing ends it.
        self.assertIn("No such file", harness.run("stat", mounted / "C/another", check=False).stderr)
        harness.run("ls", "-a", mounted / "C/.tcia")
        harness.run("cp", mounted / file, "/dev/null")
        self.assertIsNone(waiting.poll())
        waiting.terminate()
        waiting.wait(harness.WAIT_S)


if __name__ == "__main__":
    harness.main()
