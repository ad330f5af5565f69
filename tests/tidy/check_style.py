# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What every source file owes its reader, and what no layer may do by itself."""

import re

import checker

LINE_LENGTH_MAX = 100
FILE_LINES_MAX = 600
SPDX = "// SPDX-License-Identifier: Apache-2.0"

# (pattern, what to use instead, folders that may)
BANNED = [
    (re.compile(r"\bthrow\b"), "Result or Status", ()),
    (re.compile(r"\bcatch\s*\("), "Result or Status", ("fuse", "cli", "util", "nbia")),
    (re.compile(r"\bsystem_clock\b|\btime\(nullptr\)|\bgettimeofday\b"), "util/clock.h", ("util",)),
    (re.compile(r"\bstd::rand\b|\bsrand\b"), "an injected random engine", ()),
    (re.compile(r"\bgetenv\b"), "cli's Environment", ("cli",)),
    (re.compile(r"\bstd::((shared_|recursive_|timed_)*mutex|condition_variable\w*|lock_guard|scoped_lock|"
                r"unique_lock|shared_lock)\b"), "Mutex, MutexLock and CondVar", ("util/mutex.h",)),
    (re.compile(r"\b(fuse_reply_|fuse_req_)"), "the fuse layer", ("fuse",)),
    (re.compile(r"\busing namespace\b"), "the names themselves", ()),
    (re.compile(r"\b(TODO|FIXME|XXX)\b"), "doing it", ()),
]
# What a lock protects is said where it stands, for clang's -Wthread-safety to check.
MUTEX_MEMBER = re.compile(r"^\s+(?:mutable )?Mutex (\w+);", re.MULTILINE)
# errno names mean something to the kernel: only the fuse layer says them. Reading the local disk's
# errno is what the other folders do.
ERRNO_READERS = ("fuse", "cli", "cache", "store", "http", "zip", "util", "control")
ERRNO_NAME = re.compile(r"\bE(NOENT|IO|STALE|ROFS|ACCES|INTR|TIMEDOUT|NOSPC|NOTDIR|ISDIR)\b")


def without_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))


def problems_of(layer, name, text):
    lines = text.splitlines()
    if not lines or lines[0] != SPDX:
        yield "does not begin with the licence line"
    if len(lines) > FILE_LINES_MAX:
        yield f"{len(lines)} lines; split it (at most {FILE_LINES_MAX})"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_LENGTH_MAX:
            yield f"line {number} is longer than {LINE_LENGTH_MAX}"
        if line != line.rstrip() or "\t" in line:
            yield f"line {number} has trailing blanks or a tab"
    if name.endswith(".h") and "#pragma once" not in text:
        yield "has no #pragma once"
    if name.endswith(".h") and not re.search(r"^// [A-Z`]", "\n".join(lines[2:8]), re.MULTILINE):
        yield "says nothing of what it is for"
    code = without_comments(text)
    for pattern, instead, allowed in BANNED:
        if layer not in allowed and f"{layer}/{name}" not in allowed and pattern.search(code):
            yield f"uses '{pattern.search(code).group(0)}'; use {instead}"
    for mutex in MUTEX_MEMBER.findall(code):
        if f"GUARDED_BY({mutex})" not in code:
            yield f"has a {mutex} that guards nothing; say what with TCIAFS_GUARDED_BY"
    if layer not in ERRNO_READERS and ERRNO_NAME.search(code):
        yield f"names {ERRNO_NAME.search(code).group(0)}; use Errc"


def check(root, _program):
    problems = []
    for top in (root / "src", root / "include" / "tciafs"):
        for file in sorted(top.rglob("*")):
            if file.suffix in (".h", ".cpp"):
                relative = file.relative_to(top)
                layer = relative.parts[0] if len(relative.parts) > 1 else "main"
                problems += [f"{file.relative_to(root)}: {problem}"
                             for problem in problems_of(layer, file.name, file.read_text())]
    return problems


if __name__ == "__main__":
    checker.run(check, "every file keeps the house style")
