# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Directories are read in the same way whether the kernel asks to open them or not."""

import os
import signal
import subprocess

import harness

PATIENTS = 60
TTL_S = 1
QUIET_S = 2  # for a serving process that is stopped


class Directories:
    """Run for each way of asking."""
    asking = ""

    def setUp(self):
        super().setUp()
        self.server = self.archive(
            "--synthetic", f"WIDE:patients={PATIENTS},studies=1,series=2,images=3,size=32x32")

    def ask_mount(self, *options):
        return self.mount(self.server, options=(f"--ask-open={self.asking}", *options))

    def walk(self, mount):
        return harness.run("ls", "-fR", mount / "WIDE").stdout.splitlines()

    def walk_without_answers(self, mount):
        """What ls tells while nobody answers the kernel; None if it has to wait."""
        mount.process.send_signal(signal.SIGSTOP)
        walking = self.background("ls", "-fR", mount / "WIDE", stdout=subprocess.PIPE, text=True)
        try:
            return walking.communicate(timeout=QUIET_S)[0].splitlines()
        except subprocess.TimeoutExpired:
            return None
        finally:
            mount.process.send_signal(signal.SIGCONT)
            walking.communicate(timeout=harness.WAIT_S)

    def test_what_was_listed_is_listed_again(self):
        mount = self.ask_mount()
        lines = self.walk(mount)
        self.assertEqual(sum(line.endswith(".dcm") for line in lines), PATIENTS * 2 * 3)
        self.assertEqual(self.walk(mount), lines)  # the kernel knows by now how long all is fresh
        again = self.walk_without_answers(mount)
        self.assertEqual(again, lines if self.asking == "files" else None)
        self.assertEqual(self.walk(mount), lines)

    def test_a_changed_listing_is_seen_by_those_who_read_it_again(self):
        mount = self.ask_mount(f"--metadata-ttl={TTL_S}s")
        held = os.open(mount / "WIDE", os.O_RDONLY | os.O_DIRECTORY)
        self.addCleanup(os.close, held)
        self.assertEqual(len(os.listdir(held)), PATIENTS)
        known = PATIENTS
        for _ in range(3):
            self.server.mutate(add_patients={"collection": "WIDE", "count": 2})
            known += 2
            harness.wait_for(lambda: len(os.listdir(mount / "WIDE")) == known, "the names to come")
            if self.asking == "files":  # one that the kernel opened may show the listing it holds
                self.assertEqual(len(os.listdir(held)), known)


class NotOpened(Directories, harness.MountCase):
    asking = "files"


class Opened(Directories, harness.MountCase):
    asking = "all"


if __name__ == "__main__":
    harness.main()
