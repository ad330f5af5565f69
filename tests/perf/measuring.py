# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What scripts/bench measures with: timed loops, mounts to measure, rows of the table."""

import json
import os
import re
import statistics
import subprocess
import time

import harness

LOOPS = os.environ.get("TCIAFS_PERF_LOOPS", "tciafs-perf-loops")
FLOOR = os.environ.get("TCIAFS_PERF_FLOOR", "tciafs-perf-floor")
MB = 1e6
MIB = 1 << 20
REPEAT_S = 0.3  # whatever the kernel's caches answer is repeated for so long


def loops(mode, root, list_path, threads=1, seconds_min=0.0):
    """One timed loop over the files of a list; its figures."""
    return _loops(mode, threads, seconds_min, root, list_path)


def lines_of(*command, seconds_min=0.0):
    """Runs a command, counting lines."""
    return _loops("lines", 1, seconds_min, *command)


def inflate(zip_path, offsets_path):
    """One core inflates the members that begin at the listed offsets."""
    return _loops("inflate", 1, REPEAT_S, zip_path, offsets_path)


def _loops(mode, threads, seconds_min, *words):
    done = harness.run(LOOPS, mode, threads, seconds_min, *words, timeout_s=600)
    figures = json.loads(done.stdout)
    if figures["failures"] or not figures["operations"]:
        raise AssertionError(f"{mode} {words}: {figures}")
    return figures


def bytes_per_s(figures):
    return figures["bytes"] / figures["seconds"]


def operations_per_s(figures):
    return figures["operations"] / figures["seconds"]


def cpu_seconds(pid):
    """User and system time of all threads of a process, those that ended too."""
    return time.clock_gettime((~pid << 3) | 2)


def memory_mib(pid, field):
    """VmRSS (now) or VmHWM (the most since forget_peak)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(field + r":\s+(\d+)", status.read()).group(1)) / 1024


def forget_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as refs:
        refs.write("5")


def warm(*paths):
    """Reads files, or all below directories, so that the page cache has them."""
    for path in paths:
        names = [path] if os.path.isfile(path) else [
            os.path.join(directory, name)
            for directory, _, files in os.walk(path) for name in files]
        for name in names:
            with open(name, "rb", buffering=0) as file:
                while file.read(4 * MIB):
                    pass


class Plain:
    """The same files on the local disk: the limit of limits."""

    name = "plain"

    def __init__(self, tree):
        self.path = tree.plain

    def end(self):
        pass


class Floor:
    """A mount of the least that FUSE allows (floor.cpp)."""

    name = "floor"
    _words = ()

    def __init__(self, tree):
        self.path = tree.mountpoint(self.name)
        self._process = subprocess.Popen(
            [FLOOR, tree.manifest, tree.pack, self.path, *self._words], stdin=harness.DISCARD,
            preexec_fn=harness.die_with_parent(harness.signal.SIGTERM))
        harness.wait_for(lambda: harness.is_mounted(self.path), "the floor is mounted")

    def end(self):
        harness.end_process(self._process)
        harness.detach(self.path)


class FloorAskingOpen(Floor):
    """The same, told of each open."""

    name = "floor, OPEN"
    _words = ("ask-open",)


class Rows:
    """Samples by figure and what they are compared with; medians of them as a table."""

    def __init__(self):
        self._rows = {}

    def add(self, figure, name, unit, value, goals=None, **limits):
        """One sample. Limits are rates (or times) taken in the same round: `value / limit`."""
        row = self._rows.setdefault(
            (figure, name), {"figure": figure, "name": name, "unit": unit, "goals": goals,
                             "samples": [], "limits": {}})
        row["samples"].append(value)
        for limit, sample in limits.items():
            row["limits"].setdefault(limit, []).append(sample)

    def result(self):
        return [_summary(row) for row in self._rows.values()]


def _summary(row):
    value = statistics.median(row["samples"])
    limits = {name: statistics.median(samples) for name, samples in row["limits"].items()}
    ratios = {name: statistics.median(v / x for v, x in zip(row["samples"], samples) if x)
              for name, samples in row["limits"].items()}
    summary = {"figure": row["figure"], "name": row["name"], "unit": row["unit"], "value": value,
               "lowest": min(row["samples"]), "highest": max(row["samples"]),
               "limits": limits, "ratios": ratios}
    if row["goals"]:
        summary.update(_judged(row["goals"], value, ratios))
    return summary


def _judged(goals, value, ratios):
    """A goal is (what, relation, number); what is "value" or a limit's name."""
    texts, all_reached = [], True
    for what, relation, wanted in goals:
        reached = value if what == "value" else ratios[what]
        texts.append(f"{relation} {wanted:,g}" + ("" if what == "value" else f" x {what}"))
        all_reached &= reached >= wanted if relation == ">=" else reached <= wanted
    return {"goal": ", ".join(texts), "reached": all_reached}


def format_number(number):
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    return f"{number:.4g}"


def table_of(result):
    """Aligned text, a row per figure."""
    cells = [["", "figure", "value", "unit", "limits taken beside it (ratio)", "goal", ""]]
    for row in result:
        limits = "; ".join(f"{name} {format_number(limit)} ({row['ratios'][name]:.2f})"
                           for name, limit in row["limits"].items())
        verdict = {True: "reached", False: "MISSED", None: ""}[row.get("reached")]
        cells.append([row["figure"], row["name"], format_number(row["value"]), row["unit"], limits,
                      row.get("goal", ""), verdict])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in cells)
