# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The mount is ended again and again in the middle of many requests; each time it ends well."""

import os
import signal
import subprocess
import sys
import time

import harness

ENDINGS = 12
# Asks without a pause, most of it what the kernel must ask the daemon for each time.
HAMMER = """
import os, sys
top = sys.argv[1]
number = 0
while True:
    number += 1
    for look in (lambda: os.stat(f"{top}/A/no-{os.getpid()}-{number}"), lambda: os.listdir(top),
                 lambda: open(f"{top}/{sys.argv[2]}", "rb").close(),
                 lambda: os.stat(top)):
        try:
            look()
        except OSError:
            pass
"""


class Endings(harness.MountCase):
    def test_ending_under_requests(self):
        server = self.archive("--synthetic", "A:patients=4,studies=1,series=1,images=2")
        path = sorted(server.truth("A"))[0]
        for number in range(ENDINGS):
            mount = self.mount(server)
            hammers = [subprocess.Popen([sys.executable, "-c", HAMMER, mount.path, path],
                                        preexec_fn=harness.die_with_parent(signal.SIGKILL))
                       for _ in range(6)]
            try:
                self.assertTrue(harness.md5_of(mount / path))
                time.sleep(0.2)
                mount.process.send_signal(signal.SIGTERM)
                self.assertEqual(mount.process.wait(harness.WAIT_S), 0,
                                 f"ending {number}: {mount.log()[-500:]}")
                self.assertFalse(harness.is_mounted(mount.path))
                self.assertEqual(os.listdir(mount.path), [])
            finally:
                for hammer in hammers:
                    hammer.kill()
                    hammer.wait()


if __name__ == "__main__":
    harness.main()
