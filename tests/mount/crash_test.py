# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""kill -9 at any moment: what was published is kept, nothing wrong is ever read."""

import os
import random
import time

import harness


class Crashes(harness.MountCase):
    def test_killed_while_downloading(self):
        server = self.archive("--synthetic", "C:patients=2,studies=1,series=3,images=12,size=128x128",
                              "--bandwidth", 6_000_000, "--zip-level", 1)
        truth = server.truth("C")
        chance = random.Random(7)
        survived = 0
        for round_number in range(5):
            mount = self.mount(server)
            self.assertEqual(harness.walk_files(mount.path), sorted(truth))
            readers = [self.background("md5sum", *[mount / path for path in part], stdout=harness.DISCARD, stderr=harness.DISCARD)
                       for part in (sorted(truth)[::2], sorted(truth)[1::2])]
            time.sleep(chance.uniform(0.05, 0.6))
            mount.kill()
            for reader in readers:
                reader.wait(harness.WAIT_S)
            with self.subTest(round=round_number):
                survivor = self.mount(server, options=["--offline"])
                for path in harness.walk_files(survivor.path):
                    try:
                        self.assertEqual(harness.md5_of(survivor / path), truth[path][0])
                        survived += 1
                        self.assertEqual(os.getxattr(survivor / path, "user.tcia.cached"), b"1")
                    except OSError:
                        pass  # was not published: not there, and not wrong
                survivor.unmount()
        self.assertGreater(survived, 0)
        mount = self.mount(server)
        for path, (md5, _) in truth.items():
            self.assertEqual(harness.md5_of(mount / path), md5)

    def test_published_instances_survive(self):
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=1,images=10,size=64x64")
        truth = server.truth("C")
        mount = self.mount(server)
        self.assertEqual(harness.walk_files(mount.path), sorted(truth))
        for path, (md5, _) in truth.items():
            self.assertEqual(harness.md5_of(mount / path), md5)
        mount.kill()
        server.stop()
        again = self.mount(server)
        self.assertEqual(harness.walk_files(again.path), sorted(truth))
        for path, (md5, _) in truth.items():
            self.assertEqual(harness.md5_of(again / path), md5)

    def test_a_damaged_file_of_the_cache_is_fetched_again(self):
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=1,images=4,size=64x64")
        truth = server.truth("C")
        mount = self.mount(server)
        for path in truth:
            harness.md5_of(mount / path)
        mount.unmount()
        damaged = 0
        for directory, _, files in os.walk(os.path.join(self.cache, "images")):
            for name in files:
                if name.endswith(".dcm"):
                    with open(os.path.join(directory, name), "r+b") as file:
                        file.seek(5000)
                        byte = file.read(1)
                        file.seek(5000)
                        file.write(bytes([byte[0] ^ 1]))
                    damaged += 1
        self.assertEqual(damaged, 4)
        again = self.mount(server)
        for path, (md5, _) in truth.items():
            self.assertEqual(harness.md5_of(again / path), md5)


if __name__ == "__main__":
    harness.main()
