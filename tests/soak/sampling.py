# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What the serving process takes, and what the cache directory does."""

import os
import time

MIB = 1 << 20
GROWTH_FDS_MAX = 12
GROWTH_THREADS_MAX = 6
GROWTH_BYTES_MAX = 12 * MIB
# A trend needs that many quiet moments of one process.
QUIET_MIN = 9


def process_figures(pid):
    """Bytes of memory, descriptors and threads now; None when it has gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if "VmRSS" not in fields:
        return None  # a zombie

    def size(name):
        return int(fields[name].split()[0]) * 1024
    return {"rss": size("VmRSS"), "anon": size("RssAnon"), "file": size("RssFile"),
            "peak": size("VmHWM"), "fds": descriptors, "threads": int(fields["Threads"])}


def disk_bytes(directory):
    """Bytes of the blocks taken by everything below, and the directories of series seen."""
    total, series, inodes = 0, set(), set()
    stack = [directory]
    while stack:
        current = stack.pop()
        try:
            entries = list(os.scandir(current))
            taken = os.lstat(current)
        except FileNotFoundError:
            continue
        total += taken.st_blocks * 512
        if len(os.path.basename(current)) == 32:
            series.add(current)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                stack.append(entry.path)
                continue
            try:
                taken = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if taken.st_ino not in inodes:  # renamed while we looked
                inodes.add(taken.st_ino)
                total += taken.st_blocks * 512
    return total, series


class Life:
    """One serving process from its start to its end: figures of quiet moments."""

    def __init__(self, pid):
        self.pid = pid
        self.start = time.monotonic()
        self.quiet = []
        self.peak = 0

    def sample(self):
        figures = process_figures(self.pid)
        if figures:
            self.peak = max(self.peak, figures["peak"])
        return figures

    def sample_quiet(self):
        figures = self.sample()
        if figures:
            self.quiet.append(figures)
        return figures

    def growth(self):
        """What grows, in words: the last third of the quiet moments against the first (without the
        very first, which is of a process that has not seen everything yet)."""
        if len(self.quiet) < QUIET_MIN:
            return []
        seen = self.quiet[2:]
        third = len(seen) // 3
        found = []
        for figure, allowed in (("fds", GROWTH_FDS_MAX), ("threads", GROWTH_THREADS_MAX),
                                ("anon", GROWTH_BYTES_MAX), ("rss", 2 * GROWTH_BYTES_MAX)):
            before = max(sample[figure] for sample in seen[:third])
            after = min(sample[figure] for sample in seen[-third:])
            if after > before + allowed:
                found.append(f"{figure} grew from at most {before} to at least {after}")
        return found
