# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The machinery behind all fault tests does what its plans say, and is in no program but its own."""

import collections
import os
import pathlib
import signal
import subprocess
import unittest

import fault_points
import harness

SHIPPED = os.environ.get("TCIAFS_SHIPPED_PROGRAM", "tciafs")
YEAR_MS = 365 * 24 * 3600 * 1000


class Plans(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.faults = fault_points.Faults(self.directory)
        self.server = self.archive("--synthetic",
                                   "C:patients=1,studies=1,series=1,images=3,size=64x64")

    def faulty_mount(self, *rules):
        self.faults.plan(*rules)
        return self.mount(self.server, environment=self.faults.environment)

    def read_all(self, mount):
        return {path: harness.md5_of(mount / path) for path in harness.walk_files(mount.path)}

    def test_without_rules_nothing_happens_and_hits_are_told(self):
        truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        mount = self.faulty_mount()
        self.assertEqual(self.read_all(mount), truth)
        hits = self.faults.hits()
        self.assertEqual(hits["cache.instance.renamed"], 3)
        self.assertEqual(hits["daemon.mounted"], 1)
        mount.unmount()

    def test_kill_at_the_hit_named(self):
        mount = self.faulty_mount("cache.instance.renamed=KILL@2")
        try:
            self.read_all(mount)
        except OSError:
            pass
        self.assertEqual(mount.process.wait(harness.WAIT_S), -signal.SIGKILL)
        self.assertEqual(self.faults.hits()["cache.instance.renamed"], 2)

    def test_a_plan_changes_while_the_process_runs(self):
        mount = self.faulty_mount()
        self.read_all(mount)
        self.faults.plan("daemon.*=KILL")
        mount.process.terminate()
        self.assertEqual(mount.process.wait(harness.WAIT_S), -signal.SIGKILL)

    def test_errors_are_given_instead_of_calls(self):
        mount = self.faulty_mount()
        self.faults.plan("cache.disk.create=ENOSPC")
        self.assertEqual(len(self.read_all(mount)), 3)
        self.assertIn("No space left on device", mount.log())
        images = pathlib.Path(self.cache) / "images" / "series"
        self.assertEqual(list(images.rglob("*.dcm")), [])

    def test_the_clock_is_off_by_what_the_plan_says(self):
        mount = self.faulty_mount()
        harness.walk_files(mount.path)
        before = self.server.requests("metadata")
        harness.walk_files(mount.path)
        self.assertEqual(self.server.requests("metadata"), before)
        self.faults.plan(f"clock={YEAR_MS}")
        mount.unmount()
        again = self.mount(self.server, environment=self.faults.environment)
        harness.walk_files(again.path)
        harness.wait_for(lambda: self.server.requests("metadata") > before, "renewed a year later")

    def test_a_plan_that_is_not_understood_ends_the_process(self):
        empty = os.path.join(self.directory, "empty")
        os.mkdir(empty)
        for plan in ("nonsense", "a.b=EWHAT", "a.b=KILL@x", "clock=soon"):
            environment = harness.clean_environment({"TCIAFS_FAULT_POINTS": plan})
            done = subprocess.run([harness.PROGRAM, "mount", "-f", "--cache-dir", self.cache,
                                   "--server", self.server.url, empty],
                                  env=environment, capture_output=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 99, plan)


class Program(unittest.TestCase):
    def test_the_shipped_program_cannot_inject(self):
        marker = b"TCIAFS_FAULT_POINTS"
        with open(harness.PROGRAM, "rb") as program:
            self.assertIn(marker, program.read())
        with open(SHIPPED, "rb") as program:
            self.assertNotIn(marker, program.read())

    def test_every_name_stands_at_one_place(self):
        places = collections.Counter()
        sources = pathlib.Path(__file__).resolve().parents[2] / "src"
        names = fault_points.commit_steps() | fault_points.calls()
        self.assertGreater(len(names), 40)
        for path in sources.rglob("*.cpp"):
            text = path.read_text(encoding="utf-8")
            for name in names:
                places[name] += text.count(f'"{name}"')
        self.assertEqual([name for name, count in places.items() if count != 1], [])


if __name__ == "__main__":
    harness.main()
