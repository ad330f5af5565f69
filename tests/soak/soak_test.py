# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The soak in its short form: the whole machinery of soak.py for less than a minute."""

import os
import sys

import harness
import soak

MINUTES = os.environ.get("TCIAFS_SOAK_MINUTES", "0.5")
SEED = os.environ.get("TCIAFS_SOAK_SEED", "3")


def main():
    harness.require_fuse()
    return soak.main([MINUTES, "--seed", SEED, *sys.argv[2:]])


if __name__ == "__main__":
    sys.exit(main())
