# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The fault matrix: everything that can go wrong on the way from the archive.

The rows are in the tables remote_*.py, what is done with each of them in matrix.py.
"""

import dataclasses

import harness
import matrix
import remote_change
import remote_list
import remote_transport
import remote_zip

TABLES = {"transport": remote_transport.ROWS, "zip": remote_zip.ROWS, "list": remote_list.ROWS,
          "change": remote_change.ROWS}
ROWS = [dataclasses.replace(row, name=f"{table}.{row.name}") for table, rows in TABLES.items()
        for row in rows]

# Those that take long go first.
Remote = matrix.suite_of(sorted(ROWS, key=lambda row: -max(row.recovers_s, row.deadline_s)), "Remote")

if __name__ == "__main__":
    harness.main()
