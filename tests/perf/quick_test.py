# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""scripts/bench works: its quick form measures every figure, and none is nonsense. No figure of it
is asserted: on a busy machine they mean nothing."""

import json
import math
import os
import tempfile
import unittest

import bench
import harness


class QuickTest(unittest.TestCase):
    def test_every_figure_is_measured(self):
        with tempfile.TemporaryDirectory(prefix="tciafs-bench-test-") as directory:
            path = os.path.join(directory, "figures.json")
            bench.main(["--quick", "--rounds", "1", "--json", path, "--directory", directory])
            with open(path, encoding="utf-8") as file:
                rows = json.load(file)["rows"]
            self.assertEqual(os.listdir(directory), ["figures.json"])
        self.assertEqual({row["figure"] for row in rows}, set(bench.LETTERS))
        for row in rows:
            with self.subTest(row["name"]):
                for number in [row["value"], *row["limits"].values()]:
                    self.assertTrue(math.isfinite(number) and number >= 0, row)
        goals = [row for row in rows if "goal" in row]
        self.assertTrue(all(isinstance(row["reached"], bool) for row in goals))
        self.assertGreaterEqual(len(goals), 5)

    def test_one_figure_alone(self):
        with tempfile.TemporaryDirectory(prefix="tciafs-bench-test-") as directory:
            path = os.path.join(directory, "figures.json")
            bench.main(["b", "--quick", "--rounds", "1", "--json", path, "--directory", directory,
                        "--mount-option", "--metadata-ttl 1h"])
            with open(path, encoding="utf-8") as file:
                written = json.load(file)
        self.assertEqual({row["figure"] for row in written["rows"]}, {"b"})
        self.assertEqual(written["mount_options"], ["--metadata-ttl 1h"])


if __name__ == "__main__":
    harness.main()
