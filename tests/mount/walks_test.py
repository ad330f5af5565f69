# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""A second walk costs nothing, also after a remount."""

import harness

REQUESTS_MAX = 10
PATIENTS = 500


class Walks(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive(
            "--synthetic", f"WIDE:patients={PATIENTS},studies=1,series=2,images=3,size=32x32",
            "--shuffle")

    def walk(self, mount, *command):
        return harness.run(*command, mount / "WIDE", timeout_s=120).stdout.splitlines()

    def check_first_walk(self, *command):
        mount = self.mount(self.server)
        lines = self.walk(mount, *command)
        self.assertGreaterEqual(len(lines), 1)
        self.assertEqual(self.server.requests("images"), 0)
        self.assertLessEqual(self.server.requests("metadata"), REQUESTS_MAX, self.server.counters())
        return mount, lines

    def test_find_then_again_then_after_a_remount(self):
        mount, lines = self.check_first_walk("find")
        self.assertEqual(len(lines), 1 + PATIENTS * (1 + 1 + 2 + 2 * 3))
        self.server.reset()
        self.assertEqual(self.walk(mount, "find"), lines)
        self.assertEqual(self.server.requests("metadata"), 0, self.server.counters())
        again = self.remount(mount, self.server)
        relative = [line.replace(mount.path, again.path) for line in lines]
        self.assertEqual(self.walk(again, "find"), relative)
        self.assertEqual(self.server.requests("metadata"), 0, self.server.counters())
        self.assertEqual(self.server.requests("images"), 0)


if __name__ == "__main__":
    harness.main()
