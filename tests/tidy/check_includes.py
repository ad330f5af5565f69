# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Each file includes, itself or through its own includes, the headers of the names it uses.

A compiler that is given several sources at once does not see that one of them lives on what another
included; nor does one whose standard headers happen to include each other.
"""

import functools
import re

import check_style
import checker

FOLDERS = ("include", "src", "tests")
# Where an include with quotes is looked for after the folder of its file.
SEARCHED = (*FOLDERS, "tests/archive")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
LITERAL = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.DOTALL)
WORD = re.compile(r"\b[A-Za-z_]\w*\b")
STANDARD_NAME = re.compile(r"\bstd::([a-z]\w*(?:::[a-z]\w*)?)")
SYSTEM_NAME = re.compile(r"(?<![\w>])(::[a-z]\w*)\(")
# Words that are no names of ours: those of others, and the names of tests.
NOT_OURS = re.compile(r"\b(?:std|testing|httplib|nlohmann|fmt|spdlog|CLI|rc|tl)(?:::\w+)+"
                      r"|\bTEST(?:_F|_P)?\([^)]*\)")

# What a header gives to others: types, constants, functions and macros.
TYPE_NAME = r"(?:TCIAFS_\w+(?:\([^)]*\))?\s+)?(\w+)"
GIVEN = (
    re.compile(r"^(?:class|struct|enum class|enum|using)\s+" + TYPE_NAME + r"(?: final)?\s*(?:[:={]|$)",
               re.MULTILINE),
    re.compile(r"^(?:inline )?constexpr [\w:<>, ]+ (k[A-Z]\w*)", re.MULTILINE),
    re.compile(r"^(?!return)\w[\w:<>,&* ]*[ &*]([A-Z]\w+)\(", re.MULTILINE),
    re.compile(r"^#define (TCIAFS_\w+)", re.MULTILINE),
)
# What a file may itself mean by a name, beside these: nested and forward declared types, parameters
# of templates, members, enumerators.
LOCAL = (
    re.compile(r"\b(?:enum class|class|struct|enum|using|typename)\s+" + TYPE_NAME),
    re.compile(r"[\w>*&\])]\s+[*&]*(?:\w+::)*([A-Z]\w*)\("),
    re.compile(r"^\s+([A-Z]\w*)\(", re.MULTILINE),
    re.compile(r"^\s+(k[A-Z]\w*)\b\s*[,=}]", re.MULTILINE),
    re.compile(r"\b(k[A-Z]\w*) *[={[]"),
    re.compile(r"[{,]\s*(k[A-Z]\w*)(?=\s*[,}])"),
)

# Headers, and names that are declared in no other.
STANDARD = {
    "algorithm": "all_of any_of none_of find_if find_if_not sort stable_sort lower_bound upper_bound "
                 "equal_range min_element max_element clamp remove_if transform copy_if partition "
                 "binary_search count_if ranges::sort ranges::find ranges::find_if ranges::any_of "
                 "ranges::all_of ranges::none_of ranges::count_if ranges::transform ranges::equal "
                 "ranges::min_element ranges::max_element ranges::copy_if ranges::lower_bound "
                 "ranges::upper_bound ranges::stable_sort ranges::replace",
    "array": "array",
    "atomic": "atomic atomic_flag memory_order_relaxed memory_order_acquire",
    "bit": "bit_cast bit_width popcount has_single_bit countr_zero bit_ceil",
    "bitset": "bitset",
    "cctype": "isdigit isspace tolower",
    "charconv": "from_chars to_chars",
    "chrono": "chrono",
    "cmath": "ceil floor isfinite",
    "cstdio": "fprintf fputs fwrite snprintf FILE printf",
    "cstdlib": "abort exit",
    "cstring": "memcpy memcmp memset memchr strlen",
    "deque": "deque",
    "filesystem": "filesystem",
    "fstream": "ifstream ofstream fstream",
    "functional": "function less greater hash invoke",
    "future": "future promise async",
    "iostream": "cout cerr cin",
    "latch": "latch",
    "limits": "numeric_limits",
    "list": "list",
    "map": "map multimap",
    "memory": "unique_ptr shared_ptr weak_ptr make_unique make_shared",
    "numeric": "accumulate iota",
    "optional": "optional nullopt",
    "random": "mt19937 mt19937_64 uniform_int_distribution random_device",
    "regex": "regex",
    "semaphore": "counting_semaphore binary_semaphore",
    "set": "set multiset",
    "span": "span",
    "sstream": "ostringstream istringstream stringstream",
    "stop_token": "stop_token stop_source stop_callback",
    "string": "string to_string stoi stoul",
    "string_view": "string_view",
    "system_error": "error_code errc",
    "thread": "thread jthread this_thread",
    "unordered_map": "unordered_map",
    "unordered_set": "unordered_set",
    "utility": "pair exchange",
    "variant": "variant visit monostate",
    "vector": "vector",
}
# Functions of the system, where they are called as ::name(...).
SYSTEM = {
    "fcntl.h": "open openat fallocate posix_fadvise fcntl splice",
    "poll.h": "poll",
    "signal.h": "kill sigaction",
    "sys/mman.h": "mmap munmap madvise",
    "sys/resource.h": "getrlimit setrlimit getrusage",
    "sys/socket.h": "socket bind listen accept connect send recv sendmsg recvmsg setsockopt",
    "sys/stat.h": "stat fstat lstat fstatat mkdir chmod fchmod umask",
    "sys/statvfs.h": "statvfs fstatvfs",
    "unistd.h": "close read write pread pwrite unlink unlinkat fsync fdatasync ftruncate getpid getuid "
                "geteuid isatty dup dup2 pipe pipe2 fork link rmdir readlink access lseek",
}
HOMES = {"errno": "cerrno", "fmt": "fmt/core.h", "EXPECT_EQ": "gtest/gtest.h", "EXPECT_THAT": "gmock/gmock.h"}
HOMES |= {f"std::{name}": header for header, names in STANDARD.items() for name in names.split()}
HOMES |= {f"::{name}": header for header, names in SYSTEM.items() for name in names.split()}
# Headers that bring another's names, too: by their synopses, by their documentation, or, as for
# errors, by what their own functions give.
ALSO = {
    "cerrno": {"errno.h"},
    "fmt/core.h": {"fmt/format.h", "fmt/chrono.h", "fmt/ranges.h"},
    "gtest/gtest.h": {"gmock/gmock.h"},
    "stop_token": {"thread"},
    "string_view": {"string"},
    "system_error": {"charconv", "filesystem"},
    "utility": {"map", "unordered_map"},
}


class Source:
    """A file as far as this check looks at it."""

    def __init__(self, text):
        text = check_style.without_comments(text)
        includes = INCLUDE.findall(text)
        self.own = [path for mark, path in includes if mark == '"']
        self.foreign = {path for mark, path in includes if mark == "<"}
        code = LITERAL.sub('""', text)
        self.gives = {name for pattern in GIVEN for name in pattern.findall(code)} - {"std"}
        self.knows = self.gives | {name for pattern in LOCAL for name in pattern.findall(code)}
        self.words = set(WORD.findall(NOT_OURS.sub("", code)))
        self.foreign_words = set(SYSTEM_NAME.findall(code)) | set(WORD.findall(code))
        for found in STANDARD_NAME.findall(code):
            self.foreign_words |= {f"std::{found}", f"std::{found.split('::')[0]}"}


def problems_of(sources):
    """`sources`: {path: Source}."""
    def resolve(path, include):
        folders = (path.rsplit("/", 1)[0], *SEARCHED)
        return next((f"{folder}/{include}" for folder in folders if f"{folder}/{include}" in sources), None)

    @functools.cache
    def reached_from(path):
        reached, todo = {path}, [path]
        while todo:
            at = todo.pop()
            below = {resolve(at, include) for include in sources[at].own} - {None} - reached
            reached |= below
            todo += below
        return reached

    givers = {}
    for path, source in sources.items():
        if path.endswith(".h"):
            for name in source.gives:
                givers.setdefault(name, set()).add(path)
    for path, source in sources.items():
        reached = reached_from(path)
        known = set().union(*(sources[file].knows for file in reached))
        for name in sorted(source.words & givers.keys() - known):
            yield f"{path}: uses {name} without {' or '.join(sorted(givers[name]))}"
        included = set().union(*(sources[file].foreign for file in reached))
        for name in sorted(source.foreign_words & HOMES.keys()):
            home = HOMES[name]
            if not ({home} | ALSO.get(home, set())) & included:
                yield f"{path}: uses {name} without <{home}>"


def check(root, _program):
    return list(problems_of({
        path.relative_to(root).as_posix(): Source(path.read_text())
        for folder in FOLDERS for suffix in ("*.h", "*.cpp")
        for path in sorted((root / folder).rglob(suffix))}))


if __name__ == "__main__":
    checker.run(check, "each file includes what it uses")
