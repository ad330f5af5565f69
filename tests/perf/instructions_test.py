# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Instructions of the hot paths, counted by callgrind, against those recorded in instructions.json.

Time is too noisy to assert on; the instructions that a path takes are the same from run to run, and
change when the code or its compiler does. A path that takes a good deal more than recorded fails. To
record what they take now, when that is meant:  TCIAFS_RECORD_INSTRUCTIONS=1 ctest -R instructions
"""

import concurrent.futures
import json
import os
import re
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["TCIAFS_HOT_PATHS"]
RECORD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
TOLERANCE = 1.25  # for another patch level of the compiler or of a library
TIME_LIMIT_S = 250


def paths():
    return subprocess.run([PROGRAM], stdout=subprocess.PIPE, text=True, check=False).stdout.split()


def instructions_of(path):
    """Per operation."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no",
             f"--callgrind-out-file={directory}/out", PROGRAM, path],
            capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False,
            env=dict(os.environ, TMPDIR=directory))
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not collected:
        raise AssertionError(f"{path} gave {done.returncode}: {done.stderr[-2000:]}")
    return int(collected.group(1)) / int(done.stdout)


class Instructions(unittest.TestCase):
    def test_no_hot_path_takes_many_more(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            now = {path: round(count) for path, count in zip(paths(), pool.map(instructions_of, paths()))}
        if os.environ.get("TCIAFS_RECORD_INSTRUCTIONS"):
            with open(RECORD, "w", encoding="utf-8") as record:
                json.dump(now, record, indent=2, sort_keys=True)
                record.write("\n")
        with open(RECORD, encoding="utf-8") as record:
            recorded = json.load(record)
        self.assertEqual(sorted(now), sorted(recorded), "paths are recorded by name")
        for path, count in sorted(now.items()):
            print(f"{path}: {count} instructions, {recorded[path]} recorded")
            with self.subTest(path=path):
                self.assertGreater(count, 100, "nothing was counted")
                self.assertLess(count, recorded[path] * TOLERANCE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
