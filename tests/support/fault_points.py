# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Plans for tciafs-fault-points (its language is described in tests/fault_points/fault_plan.h).

    faults = fault_points.Faults(self.directory)
    mount = self.mount(server, environment=faults.environment)
    faults.plan("cache.disk.write=ENOSPC@3", "clock=-31536000000")
"""

import os
import pathlib
import re

_SOURCES = pathlib.Path(__file__).resolve().parents[2] / "src"
_POINT = re.compile(r'\b(FaultPoint|CommitStep|TCIAFS_DISK_FAULT)\(\s*"([a-z_.]+)"')


class Faults:
    """The plan of a mount, which may change while it runs, and the record of what was hit."""

    def __init__(self, directory, *rules):
        self._plan_path = os.path.join(directory, "fault-plan")
        self._log_path = os.path.join(directory, "fault-hits")
        self.plan(*rules)

    @property
    def environment(self):
        return {"TCIAFS_FAULT_POINTS_FILE": self._plan_path,
                "TCIAFS_FAULT_POINTS_LOG": self._log_path}

    def plan(self, *rules):
        """From the next hit on; the hits are counted anew."""
        with open(self._plan_path + ".new", "w", encoding="utf-8") as file:
            file.write("\n".join(rules) + "\n")
        os.rename(self._plan_path + ".new", self._plan_path)

    def hits(self):
        """{point: how often it was hit since the last forget}."""
        counts = {}
        if os.path.exists(self._log_path):
            with open(self._log_path, encoding="utf-8") as log:
                for line in log:
                    name = line.strip()
                    counts[name] = counts.get(name, 0) + 1
        return counts

    def forget(self):
        if os.path.exists(self._log_path):
            os.truncate(self._log_path, 0)


def _points(kinds):
    found = set()
    for path in _SOURCES.rglob("*.cpp"):
        for kind, name in _POINT.findall(path.read_text(encoding="utf-8")):
            if kind in kinds:
                found.add(name)
    return found


def commit_steps():
    """Every place in the sources where a crash may part two steps."""
    return _points({"CommitStep"})


def calls():
    """Every call in the sources that can be made to fail."""
    return _points({"FaultPoint", "TCIAFS_DISK_FAULT"})
