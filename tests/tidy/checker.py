# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What the checkers share: their arguments, and how they tell what they found."""

import argparse
import pathlib
import sys


def run(check, all_well):
    """`check(root, program)` gives a list of problems, a line each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--program", default="")
    arguments = parser.parse_args()
    problems = check(arguments.root, arguments.program)
    print("\n".join(problems) or all_well)
    sys.exit(bool(problems))
