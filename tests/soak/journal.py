# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Which errors are excused: windows of time in which something was done, and what it may cause."""

import time

READS = {"read", "pread", "keep", "mmap", "head", "md5sum", "interrupt"}
# A signal to whoever touches mapped memory that cannot be read.
UNREADABLE = "SIGBUS"
# A size that is marked as a guess, though the archive tells sizes: while it does not just now.
ESTIMATED = "ESTIMATED"
# An operation that nothing disturbs is done after so long on a busy machine.
CALM_MAX_S = 40
# What a disturbance may add after its end: time-outs, retries, queues.
DISTURBED_MAX_S = 75


class Window:
    """Errors of operations on these paths are excused, from its beginning until `grace_s` after its
    end. No errors means all; no operations likewise. It may also only delay. `reads` are further
    errors of readers."""

    def __init__(self, what, paths, errors, operations, grace_s, reads=()):
        self.what = what
        self.paths = paths
        self.errors = errors
        self.operations = operations
        self.grace_s = grace_s
        self.reads = reads
        self.on = time.monotonic()
        self.off = None

    def close(self):
        self.off = time.monotonic()

    def touches(self, record, grace_s=None):
        """Whether it was open during the operation, and about its path."""
        grace_s = self.grace_s if grace_s is None else grace_s
        in_time = self.on <= record["t1"] and (self.off is None or record["t0"] <= self.off + grace_s)
        return in_time and any(related(path, record["path"]) for path in self.paths)

    def excuses(self, record):
        if not self.touches(record):
            return False
        if record["op"] in READS and record["outcome"] in self.reads:
            return True
        if self.operations is not None and record["op"] not in self.operations:
            return False
        outcome = record["outcome"]
        return self.errors is None or outcome in self.errors or (outcome == UNREADABLE and self.errors)

    def __str__(self):
        end = "now" if self.off is None else f"{self.off - self.on:.1f} s long"
        return f"{self.what} ({end}, {time.monotonic() - self.on:.1f} s ago)"


def related(a, b):
    """One path is the other, or above it."""
    return a == b or a == "" or b == "" or a.startswith(b + "/") or b.startswith(a + "/")


class LeftOut:
    """Instances that failed while the server left things out are asked for ever less often."""

    FIRST_S = 10

    def __init__(self):
        self._failures = {}  # path -> windows in which it failed

    def note(self, path, window):
        self._failures.setdefault(path, set()).add(window)

    def excuses(self, record):
        memory_s = 0
        for window in self._failures.get(record["path"], ()):
            memory_s = max(2 * memory_s, self.FIRST_S)
        return any(window.touches(record, window.grace_s + 2 * memory_s)
                   for window in self._failures.get(record["path"], ()))

    def longest_s(self):
        return self.FIRST_S * 2 ** max((len(failed) for failed in self._failures.values()), default=0)


class Journal:
    def __init__(self):
        self.windows = []
        self.left_out = LeftOut()

    def open(self, what, paths, errors, operations=None, grace_s=30, reads=()):
        window = Window(what, paths, errors, operations, grace_s, reads)
        self.windows.append(window)
        return window

    def excused(self, record):
        for window in self.windows:
            if window.excuses(record):
                if getattr(window, "leaves_out", False):
                    self.left_out.note(record["path"], window)
                return True
        return record["op"] in READS and record["outcome"] == "EIO" and self.left_out.excuses(record)

    def time_limit_s(self, record):
        disturbed = any(window.touches(record, DISTURBED_MAX_S) for window in self.windows)
        return CALM_MAX_S + (DISTURBED_MAX_S if disturbed else 0)

    def near(self, record):
        """For the report: what went on around the operation."""
        return [str(window) for window in self.windows if window.touches(record, 60)]

    def forget_before(self, time_s):
        """Windows that can excuse nothing any more; those of left-out instances stay."""
        self.windows = [window for window in self.windows
                        if window.off is None or window.off + 300 > time_s]
