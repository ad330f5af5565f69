# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Limits stand in their layer's limits.h, with their reasons; what stands elsewhere is listed here.

The list names each exception and why it is one, so that a new limit cannot hide in a source file.
"""

import re

import checker

LIMIT = re.compile(r"^\s*(?:static |inline )*constexpr [^=;(]*?\b(k\w*?Max(?:Ms)?)\s*=", re.MULTILINE)

# What may stay elsewhere: sizes of steps, of pieces and of what is remembered between them, and waits
# of our own. Nothing that comes from outside is refused by these.
TECHNICAL = {
    "cache/opening.cpp": {"kDeathsMax", "kIndexBytesMax"},
    "cache/series_writer.cpp": {"kUnsettledMax"},
    "catalog/bulk_listings.cpp": {"kPendingBytesMax"},
    "cli/mount_command.cpp": {"kTeardownMaxMs"},
    "cli/mount_settings.cpp": {"kIdMax"},
    "cli/umount_command.cpp": {"kDaemonEndMaxMs"},
    "fetch/verification.cpp": {"kAnnouncedMax"},
    "http/head_parser.h": {"kHeaderBytesMax"},
    "http/network_loop.cpp": {"kBusyPollMaxMs", "kIdleConnectionsMax"},
    "nbia/family_choice.cpp": {"kOddAnswersMax"},
    "nbia/series_zip_reader.cpp": {"kSkippedLoggedMax"},
    "store/environment.cpp": {"kReadersMax"},
    "vfs/instances.cpp": {"kRefetchesMax", "kVerifiedAtOpenBytesMax"},
    "zip/data_descriptor.h": {"kDescriptorBytesMax"},
    "zip/entry_label.cpp": {"kShownBytesMax"},
    "zip/entry_payload.cpp": {"kPieceBytesMax"},
    "zip/isal_inflater.cpp": {"kStepBytesMax", "kTotalOutMax"},
    "zip/zip_archive.cpp": {"kReadBytesMax"},
    "zip/zlib_inflater.cpp": {"kZlibStepBytesMax"},
}
# Bounds of a format, which follow from others or are somebody else's (LMDB's), in the only file that
# reads it.
BESIDE_THEIR_FORMAT = {
    "cache/index_records.cpp": {"kChecksumsMax"},
    "store/page_check.cpp": {"kDepthMax", "kUnwrittenPagesMax"},
}
# Of public headers: LMDB's.
PUBLIC = {"store/store.h": {"kKeyBytesMax"}}


def limits_in(text):
    return set(LIMIT.findall(text))


def problems_of(name, text):
    known = TECHNICAL.get(name, set()) | BESIDE_THEIR_FORMAT.get(name, set())
    for limit in sorted(limits_in(text) - known):
        yield f"{limit} belongs into limits.h, or with its reason into tests/tidy/check_limits.py"
    for limit in sorted(known - limits_in(text)):
        yield f"{limit} is listed in tests/tidy/check_limits.py, but is not there"


def check(root, _program):
    source = root / "src"
    public = root / "include" / "tciafs"
    problems = []
    for name in sorted(set(TECHNICAL) | set(BESIDE_THEIR_FORMAT)):
        if not (source / name).exists():
            problems.append(f"src/{name} is listed in tests/tidy/check_limits.py, but is gone")
    for file in sorted(source.rglob("*.*")):
        if file.suffix in (".h", ".cpp") and file.name != "limits.h":
            name = str(file.relative_to(source))
            problems += [f"src/{name}: {problem}" for problem in problems_of(name, file.read_text())]
    for file in sorted(public.rglob("*.h")):
        if file.name != "limits.h":
            known = PUBLIC.get(str(file.relative_to(public)), set())
            problems += [f"{file.relative_to(root)}: {limit} belongs into limits.h"
                         for limit in sorted(limits_in(file.read_text()) - known)]
    return problems


if __name__ == "__main__":
    checker.run(check, "limits stand where they are looked for")
