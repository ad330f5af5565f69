# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The engine of the fault matrix: a row says what goes wrong, what is done meanwhile, what may come of
it and that it passes; the engine does the row on an archive and a mount of its own and checks, after
whatever happened,

  - that every byte that could be read and every name that was listed is the archive's,
  - that no operation took longer than its deadline,
  - that user.tcia.error of what failed names the cause,
  - that all is well again by itself once the fault has gone,
  - that the daemon lives, unmounts cleanly and leaves nothing half written behind,
  - that what it cached is right, which a remount without network shows.

Rows are independent and run side by side, each in a process of its own. TCIAFS_FAULT_ROWS, a glob,
selects some by name; TCIAFS_FAULT_WORKERS says how many at once.
"""

import concurrent.futures
import contextlib
import ctypes
import dataclasses
import errno
import fnmatch
import glob
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import typing
import unittest
import urllib.parse
import urllib.request

import harness


# A sanitized program is several times slower and larger.
SANITIZED = harness.is_sanitized()
SLOWDOWN = 4 if SANITIZED else 1
WORKERS = int(os.environ.get("TCIAFS_FAULT_WORKERS", "16" if SANITIZED else "28"))
SANITIZER_SETTINGS = {name: os.environ.get(name) for name in harness.SANITIZER_OPTIONS}
IO_TIMEOUT_S = 8 if SANITIZED else 4
# However slow the machine: a row that takes longer hangs.
ROW_LIMIT_S = 150 * SLOWDOWN
OK = frozenset({"ok"})
LEVELS = ("root", "collection", "patient", "study", "series", "instance")


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    # The plan of the archive (see tests/archive/faults.h) while `operation` runs, or a function of
    # the case that makes it.
    plan: typing.Any = ()
    # Gives {path: outcome}, where an outcome is "ok" or the name of an errno.
    operation: typing.Callable = None
    # The outcomes allowed: for all paths, by level ("series", or "*" for the others), or as a function
    # of the path.
    expect: typing.Any = OK
    failures: typing.Optional[int] = None  # exactly so many paths fail
    cause: str = ""                        # a pattern that user.tcia.error of each failed path has
    recovers_s: float = 45                 # all is "ok" again so soon after the fault has gone; 0: never
    after: typing.Any = OK                 # in place of "ok"
    deadline_s: float = 30                 # of each operation
    images_max: typing.Optional[int] = None    # requests for images, while the fault holds
    metadata_max: typing.Optional[int] = None  # likewise for lists
    memory_max_mib: typing.Optional[int] = None
    archive: tuple = ("--synthetic", "C:patients=1,studies=1,series=1,images=4,size=32x32")
    options: tuple = ()
    secret: str = ""     # of a credentials file
    looked: bool = True  # the tree was walked before the fault came
    early: bool = False  # the fault is there before the mount
    hits: bool = True    # the plan has to hit something
    keeps: bool = True   # what was read last needs no network afterwards
    versions: bool = False  # series change: what is kept counts once the mount knows the last version
    extra: tuple = ()    # names a listing may have beside those of the truth
    # {path: {(md5, size)}}: what the archive itself delivered as this instance while the fault held,
    # whole and under a right checksum. A reader may have got it then ("sent"), but not afterwards.
    sent: typing.Callable = lambda case: {}


class Violation(AssertionError):
    """A promise was broken, whatever the row expected."""


def errno_name(failure):
    return errno.errorcode.get(failure.errno, str(failure.errno))


def level_of(path):
    return LEVELS[0 if not path else path.count("/") + 1]


def encoded(name):
    """As names are written in the tree."""
    parts = []
    for at, byte in enumerate(name.encode()):
        odd = byte in b"/%" or byte < 0x20 or byte == 0x7f or (byte == 0x2e and at == 0)
        parts.append(b"%%%02X" % byte if odd else bytes((byte,)))
    return b"".join(parts).decode()


class Case:
    """One row's archive and mount, and what there is to do with them."""

    def __init__(self, row, stack):
        self.row = row
        self.stack = stack
        self.directory = tempfile.mkdtemp(prefix="tciafs-fault-")
        stack.callback(shutil.rmtree, self.directory, True)
        self.cache = os.path.join(self.directory, "cache")
        for name, setting in SANITIZER_SETTINGS.items():
            log_path = f"log_path={self.directory}/sanitizer"
            os.environ[name] = ":".join(filter(None, [setting, log_path]))
        self.server = harness.Archive(self.directory, *row.archive)
        stack.callback(self.server.end)
        self.mount = None
        self.truth = {}        # path: every (md5, size) that was true since the mount
        self.learning = threading.Lock()  # held from a change of the archive until it is learned
        self.slowest_s = 0.0
        self.sent = {}         # see Row
        self.served = {}       # path: (md5, size) last read well
        self.mounts = 0
        self.learn()
        if row.early:
            self.break_archive()
        self.mount = self.start()

    # ---- the mount

    def start(self, *options):
        self.mounts += 1
        secrets = []
        if self.row.secret:
            path = os.path.join(self.directory, "secrets")
            with open(path, "w", encoding="utf-8", opener=lambda name, flags:
                      os.open(name, flags, 0o600)) as file:
                file.write(self.row.secret)
            secrets = ["--credentials", path]
        mount = harness.Mount(os.path.join(self.directory, f"mnt{self.mounts}"), self.cache,
                              "--io-timeout", f"{IO_TIMEOUT_S}s", *self.row.options, *secrets,
                              *options, servers=[self.server.url])
        self.stack.callback(mount.end)
        return mount

    def unmount(self):
        # Not the subject here, and a third program under sanitizers takes as long as a row's reads.
        self.mount.unmount(("fusermount3", "-u"))

    def memory_mib(self):
        """The most the daemon ever held in memory."""
        with open(f"/proc/{self.mount.process.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10

    def wait_for_log(self, text):
        harness.wait_for(lambda: text in self.mount.log(), f"'{text}' in the log")

    # ---- the archive

    def learn(self):
        """Takes in what the archive holds now; what it held before stays true of old handles."""
        self.paths = {}
        for collection in self.collections():
            self.paths.update(self.server.truth(collection))
        for path, what in self.paths.items():
            self.truth.setdefault(path, set()).add(what)

    def collections(self):
        return [word.split(":")[0] for flag, word in zip(self.row.archive, self.row.archive[1:])
                if flag == "--synthetic"]

    def get(self, endpoint, **parameters):
        """An answer of the archive without its faults' help: ask before the plan is made."""
        url = f"{self.server.url}/services/{endpoint}"
        if parameters:
            url += "?" + urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(url, timeout=harness.WAIT_S) as answer:
            return answer.read()

    def series_uids(self):
        return sorted({path.split("/")[3] for path in self.paths})

    def zip_of(self, series=None):
        return self.get("v4/getImage", SeriesInstanceUID=series or self.series_uids()[0],
                        IncludeMD5="Yes")

    # ---- operations: they give outcomes and never hang

    def timed(self, act, *arguments):
        begin = time.monotonic()
        try:
            return act(*arguments)
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - begin)

    def read(self, path):
        """"ok" or an errno's name; bytes that are not the archive's are a violation."""
        def act():
            digest = hashlib.md5()
            size = 0
            with open(self.mount / path, "rb") as file:
                told = os.fstat(file.fileno()).st_size
                while piece := file.read(1 << 20):
                    digest.update(piece)
                    size += len(piece)
            return (digest.hexdigest(), size), told
        try:
            got, told = self.timed(act)
        except OSError as failure:
            return errno_name(failure)
        if told == got[1] and got in self.sent.get(path, ()):
            return "sent"
        with self.learning:
            known = self.truth[path]
        if got not in known or told != got[1]:
            raise Violation(f"wrong bytes: {path}: {got}, fstat said {told}, "
                            f"the archive has {known}")
        self.served[path] = got
        return "ok"

    def read_paths(self, paths):
        with concurrent.futures.ThreadPoolExecutor(8) as readers:
            return dict(zip(paths, readers.map(self.read, paths)))

    def read_all(self):
        return self.read_paths(sorted(self.paths))

    def read_one(self):
        return self.read_paths(sorted(self.paths)[:1])

    def stat(self, path):
        try:
            status = self.timed(os.stat, self.mount / path)
        except OSError as failure:
            return errno_name(failure)
        size = os.getxattr(self.mount / path, "user.tcia.size").decode()
        known = {size_bytes for _, size_bytes in self.truth[path]}
        if size in ("exact", "advertised") and status.st_size not in known:
            return f"size {status.st_size}"
        return "ok"

    def stat_all(self):
        return {path: self.stat(path) for path in sorted(self.paths)}

    def list(self, directory):
        """"ok", "less" (names are missing) or an errno's name; a name too much is a violation."""
        try:
            names = set(self.timed(os.listdir, self.mount / directory))
        except OSError as failure:
            return errno_name(failure)
        prefix = directory + "/" if directory else ""
        depth = prefix.count("/")
        right = {path.split("/")[depth] for path in self.truth if path.startswith(prefix)}
        if names - right - set(self.row.extra):
            raise Violation(f"wrong names in '{directory}': {sorted(names - right)}")
        present = {path.split("/")[depth] for path in self.paths if path.startswith(prefix)}
        return "ok" if names >= present else "less"

    def list_tree(self):
        """Every directory of the truth is listed, whether its parent showed it or not."""
        directories = {""}
        for path in self.paths:
            parts = path.split("/")[:-1]
            directories.update("/".join(parts[:i + 1]) for i in range(len(parts)))
        return {directory: self.list(directory) for directory in sorted(directories)}

    def knows_versions(self):
        """Whether the mount tells of each series what the archive announces now."""
        rows = [row for collection in self.collections()
                for row in json.loads(self.get("v4/getSeries", Collection=collection))]
        announced = {row["SeriesInstanceUID"]: (row["FileSize"], row["MaxSubmissionTimestamp"])
                     for row in rows}
        for directory in {os.path.dirname(path) for path in self.paths}:
            told = [os.getxattr(self.mount / directory, f"user.tcia.{name}").decode()
                    for name in ("FileSize", "MaxSubmissionTimestamp")]
            size_bytes, date = announced[os.path.basename(directory)]
            month, day, year = date.split("-")
            if told != [str(size_bytes), f"{year}-{month}-{day}"]:
                return False
        return True

    def error_of(self, path):
        try:
            return os.getxattr(self.mount / path, "user.tcia.error").decode(errors="replace")
        except OSError:
            return ""

    # ---- the row

    def run(self):
        row = self.row
        operation = row.operation or Case.read_all
        if row.looked:
            walked = self.list_tree()
            if set(walked.values()) - {"ok"}:
                raise AssertionError(f"already before the fault: {walked}")
        if not row.early:
            self.break_archive()
        during = operation(self)
        if row.plan and row.hits and not self.server.hits():
            raise AssertionError("the fault met no request")
        self.check(during)
        self.server.plan()
        self.recover()
        self.check_limits()
        self.end()

    def break_archive(self):
        row = self.row
        self.sent = row.sent(self)
        plan = row.plan(self) if callable(row.plan) else row.plan
        self.server.reset()
        self.server.plan(*plan)

    def check(self, during):
        row = self.row
        wrong = {path: outcome for path, outcome in during.items()
                 if outcome not in self.allowed(row.expect, path)}
        if wrong:
            raise AssertionError(f"not expected: {wrong}\nof {during}\n" + "\n".join(
                f"error of {path}: {self.error_of(path)}" for path in wrong))
        failed = [path for path, outcome in during.items() if outcome != "ok"]
        if row.failures is not None and len(failed) != row.failures:
            raise AssertionError(f"{len(failed)} failed, not {row.failures}: {during}")
        for path in failed if row.cause else ():
            error = self.error_of(path)
            if not re.search(row.cause, error):
                raise AssertionError(f"user.tcia.error of '{path}' is '{error}', not '{row.cause}'")
        for kind, most in (("images", row.images_max), ("metadata", row.metadata_max)):
            asked = self.server.requests(kind)
            if most is not None and asked > most:
                raise AssertionError(f"{asked} requests for {kind}, more than {most}: "
                                     f"{self.server.counters()}")

    @staticmethod
    def allowed(expect, path):
        if callable(expect):
            return expect(path)
        if isinstance(expect, dict):
            return expect.get(level_of(path), expect.get("*", OK))
        return expect

    def recover(self):
        row = self.row
        if not row.recovers_s:
            return
        deadline = time.monotonic() + row.recovers_s * SLOWDOWN
        while True:
            known = not row.versions or self.knows_versions()
            outcomes = {**self.list_tree(), **self.read_all()}
            bad = {path: outcome for path, outcome in outcomes.items()
                   if outcome not in self.allowed(row.after, path)}
            if known and not bad:
                return
            if not known:
                bad["versions"] = "not the archive's last"
            if time.monotonic() > deadline:
                raise AssertionError(f"not well again {row.recovers_s} s after the fault: {bad}\n" +
                                     "\n".join(f"{path}: {self.error_of(path)}" for path in bad))
            time.sleep(0.5)

    def check_limits(self):
        row = self.row
        if self.slowest_s > row.deadline_s * SLOWDOWN:
            raise Violation(f"an operation took {self.slowest_s:.1f} s, more than {row.deadline_s}")
        if row.memory_max_mib and not SANITIZED and self.memory_mib() > row.memory_max_mib:
            raise Violation(f"the daemon took {self.memory_mib()} MiB, more than {row.memory_max_mib}")

    def end(self):
        """A clean end, and what is kept is right and needs no network."""
        if self.mount.process.poll() is not None:
            raise Violation(f"the daemon ended by itself with {self.mount.process.returncode}")
        self.unmount()
        for directory, _, files in os.walk(self.cache):
            left = [name for name in files if name.endswith(".part") or name == "journal"]
            if left:
                raise Violation(f"left behind in {directory}: {left}")
        self.mount = self.start("--offline")
        for path in harness.walk_files(self.mount.path):
            cached = os.getxattr(self.mount / path, "user.tcia.cached") == b"1"
            if path not in self.truth and not cached:
                continue  # a name the archive invented
            outcome = self.read(path)
            if outcome != ("ok" if cached else "ENETUNREACH"):
                raise Violation(f"offline: {path}: {outcome}, user.tcia.cached is {int(cached)}")
        current = {path for path, what in self.served.items() if what == self.paths.get(path)}
        lost = {path: self.read(path) for path in current}
        if self.row.keeps and self.row.recovers_s and set(lost.values()) - {"ok"}:
            raise Violation(f"read before, but not kept: {lost}")
        self.unmount()
        if self.reports():
            raise Violation(self.reports())

    def reports(self):
        """What a sanitizer found."""
        texts = []
        for path in sorted(glob.glob(os.path.join(self.directory, "sanitizer.*"))):
            with open(path, encoding="utf-8", errors="replace") as report:
                texts.append(report.read(8000))
        return "\n".join(texts)


class RowTooLong(BaseException):
    pass


def _too_long(*_):
    raise RowTooLong()


def run_row(table, name):
    """In a process of its own: (name, seconds, what went wrong or "")."""
    row = next(row for row in TABLES[table] if row.name == name)
    begin = time.monotonic()
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(ROW_LIMIT_S)
    case = None
    problem = ""
    with contextlib.ExitStack() as stack:
        try:
            case = Case(row, stack)
            case.run()
        except RowTooLong:
            problem = f"hangs: no end within {ROW_LIMIT_S} s\n{traceback.format_exc()}"
        except Exception:  # pylint: disable=broad-except
            problem = traceback.format_exc()
        finally:
            signal.alarm(0)
        if problem and case:
            with contextlib.suppress(Exception):
                problem = ("---- the end of the daemon's log\n" + case.mount.log()[-3000:] +
                           case.reports() + "---- what went wrong\n" + problem)
    return name, time.monotonic() - begin, problem


TABLES = {}


def _begin_worker():
    # Whatever a worker started dies with it, and it with the test.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def selected(rows):
    wanted = os.environ.get("TCIAFS_FAULT_ROWS", "*")
    return [row.name for row in rows if fnmatch.fnmatch(row.name, wanted)]


def run_table(test, rows):
    """Runs the rows of a table; `test` fails with all that went wrong."""
    names = [row.name for row in rows]
    test.assertEqual(len(names), len(set(names)), "two rows of one name")
    TABLES[test.id()] = rows
    problems = {}
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(WORKERS, context, _begin_worker) as pool:
        pending = [pool.submit(run_row, test.id(), name) for name in selected(rows)]
        for future in concurrent.futures.as_completed(pending):
            name, seconds, problem = future.result()
            print(f"  {seconds:6.1f} s  {'FAILED  ' if problem else ''}{name}", file=sys.stderr)
            if problem:
                problems[name] = problem
    if problems:
        details = "".join(f"\n==== {name}\n{problem}" for name, problem in problems.items())
        test.fail(f"{details}\n{len(problems)} of {len(pending)} rows: {' '.join(problems)}")


def suite_of(rows, name="Matrix"):
    """A test case over one table, for unittest to find."""
    def test_every_row(self):
        run_table(self, rows)
    return type(name, (unittest.TestCase,), {"test_every_row": test_every_row})


# ---- parts of plans

IMAGE_ENDPOINTS = ("*/getImage", "*/getImageWithMD5Hash", "*/getSingleImage")
ZIP_ENDPOINTS = IMAGE_ENDPOINTS[:2]


def fault(endpoint, action, times=-1, **more):
    return {"endpoint": endpoint, "action": action, "times": times, **more}


def images(action, times=-1, **more):
    """The same fault of every call that delivers images."""
    return [fault(endpoint, action, times, **more) for endpoint in IMAGE_ENDPOINTS]


def zips(action, times=-1, **more):
    return [fault(endpoint, action, times, **more) for endpoint in ZIP_ENDPOINTS]


def singles(action, times=-1, **more):
    return [fault("*/getSingleImage", action, times, **more)]
