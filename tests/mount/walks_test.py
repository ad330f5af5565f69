# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Looking is cheap: names and sizes never download an image, and cost few requests."""

import os

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

    def test_ls_lR(self):
        self.check_first_walk("ls", "-lR")

    def test_du(self):
        self.check_first_walk("du", "-s", "--apparent-size")

    def test_find_with_stat_gives_exact_sizes(self):
        mount = self.mount(self.server)
        lines = harness.run("find", mount / "WIDE", "-type", "f", "-printf", "WIDE/%P %s\\n",
                            timeout_s=120).stdout.splitlines()
        truth = self.server.truth("WIDE")
        self.assertEqual(sorted(lines), sorted(f"{path} {size}" for path, (_, size) in truth.items()))
        self.assertEqual(self.server.requests("images"), 0)
        self.assertLessEqual(self.server.requests("metadata"), REQUESTS_MAX, self.server.counters())

    def test_listings_are_sorted_and_inodes_stable(self):
        mount = self.mount(self.server)
        patients = os.scandir(mount / "WIDE")
        before = [(entry.name, entry.inode()) for entry in patients]
        self.assertEqual(before, sorted(before))
        self.assertEqual(len({inode for _, inode in before}), PATIENTS)
        for name, inode in before[:20]:
            self.assertEqual(os.stat(mount / f"WIDE/{name}").st_ino, inode)
        again = self.remount(mount, self.server)
        self.assertEqual([(entry.name, entry.inode()) for entry in os.scandir(again / "WIDE")], before)


class ReachedByPath(harness.MountCase):
    def test_one_patient_costs_one_request(self):
        server = self.archive("--synthetic", "WIDE:patients=300,studies=2,series=2,images=2,size=32x32")
        mount = self.mount(server)
        harness.wait_for(lambda: server.endpoint_requests("getCollectionValues"), "the root listing")
        patient = sorted({path.split("/")[1] for path in server.truth("WIDE")})[137]
        server.reset()
        self.assertEqual(len(os.listdir(mount / f"WIDE/{patient}")), 2)
        self.assertEqual(server.requests("metadata"), 1, server.counters())
        self.assertEqual(server.endpoint_requests("getPatient"), 0)

    def test_what_does_not_exist(self):
        server = self.archive("--synthetic", "A:patients=3,studies=1,series=1,images=2")
        mount = self.mount(server)
        os.listdir(mount / "A")
        server.reset()
        for path in ("B", "A/nobody", ".hidden", "A/.DS_Store", "A/.Trash-1000", ".tciafs"):
            with self.assertRaises(FileNotFoundError, msg=path):
                os.stat(mount / path)
        self.assertEqual(server.requests("metadata"), 0, server.counters())


if __name__ == "__main__":
    harness.main()
