# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""A test archive, a mount of it, and how to end both whatever happens.

Every case has a directory of its own. Children die with the test (a mount is asked to end, which
unmounts it), and teardown unmounts lazily, so that neither a mount nor a process stays behind. What
could hang is run as a subprocess with a time limit.
"""

import ctypes
import errno
import glob
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

PROGRAM = os.environ.get("TCIAFS_PROGRAM", "tciafs")
ARCHIVE = os.environ.get("TCIAFS_ARCHIVE", "tciafs-test-archive")
TEST_DATA = os.environ.get("TCIAFS_TEST_DATA", "")
WAIT_S = 30
DISCARD = subprocess.DEVNULL
PIPE = subprocess.PIPE
CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)
SANITIZER_OPTIONS = ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS")

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def die_with_parent(signal_number):
    def prepare():
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number)
    return prepare


def wait_for(condition, what, timeout_s=WAIT_S):
    """Polls until the condition holds; its value is returned."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return any(line.split()[4] == path for line in table)


def run(*command, timeout_s=60, check=True, **options):
    """A command with a time limit, its output as text."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=timeout_s, check=False, **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def end_process(process):
    """Asks it to end, and makes it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Archive:
    """One NBIA server on loopback."""

    def __init__(self, directory, *arguments):
        os.makedirs(directory, exist_ok=True)
        self._ready_file = os.path.join(directory, f"archive-{time.monotonic_ns()}.url")
        self._log = open(self._ready_file + ".log", "wb")
        self._arguments = [str(argument) for argument in arguments]
        self._start("0")

    def _start(self, port):
        if os.path.exists(self._ready_file):
            os.unlink(self._ready_file)
        self.process = subprocess.Popen(
            [ARCHIVE, "--port", port, "--ready-file", self._ready_file, *self._arguments],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            preexec_fn=die_with_parent(signal.SIGKILL))
        wait_for(lambda: os.path.exists(self._ready_file) or self.process.poll() is not None,
                 "the test archive listens")
        if self.process.poll() is not None:
            with open(self._log.name, encoding="utf-8", errors="replace") as log:
                raise AssertionError("the test archive did not start: " + log.read())
        with open(self._ready_file, encoding="utf-8") as ready:
            self.url = ready.read().strip()
        parts = urllib.parse.urlsplit(self.url)
        self.port = parts.port
        self.control_url = f"{parts.scheme}://{parts.netloc}/_test/"

    def stop(self):
        end_process(self.process)

    def end(self):
        self.stop()
        self._log.close()

    def restart(self, *more_arguments):
        """Back on the same port, with a fresh state."""
        self.stop()
        self._arguments += [str(argument) for argument in more_arguments]
        self._start(str(self.port))

    def _request(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.control_url + path, data, timeout=WAIT_S) as answer:
            return answer.read()

    def counters(self):
        return json.loads(self._request("counters"))

    def requests(self, kind):
        """Requests answered so far, 'metadata' or 'images'."""
        return self.counters()["totals"][kind]

    def endpoint_requests(self, pattern):
        return self._sum("requests", pattern)

    def active(self, pattern=""):
        """Requests being answered right now."""
        return self._sum("active", pattern)

    def _sum(self, figure, pattern):
        return sum(row[figure] for name, row in self.counters().items()
                   if name != "totals" and pattern in name)

    def reset(self):
        self._request("reset", {})

    def plan(self, *rows):
        self._request("plan", list(rows))

    def hits(self):
        """How many requests the present plan has hit."""
        return int(self._request("hits"))

    def mutate(self, **change):
        self._request("mutate", change)

    def truth(self, collection):
        """{path below the mount: (md5, size)} of every instance."""
        query = urllib.parse.urlencode({"collection": collection})
        lines = self._request("truth?" + query).decode().splitlines()
        rows = (line.split(" ", 2) for line in lines)
        return {path: (md5, int(size)) for md5, size, path in rows}


class Mount:
    """A mounted file system in the foreground, its log kept."""

    def __init__(self, mountpoint, cache, *arguments, servers=(), environment=None, prefix=(),
                 log_level="debug"):
        os.makedirs(mountpoint, exist_ok=True)
        self.path = mountpoint
        self.log_path = mountpoint + ".log"
        self._log = open(self.log_path, "ab")
        words = [*prefix, PROGRAM, "mount", "-f", "--log-level", log_level, "--cache-dir", cache]
        for server in servers:
            words += ["--server", server]
        words += os.environ.get("TCIAFS_TEST_MOUNT_OPTIONS", "").split()  # e.g. --ask-open=none
        self.process = subprocess.Popen(
            words + [str(argument) for argument in arguments] + [mountpoint],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            env=clean_environment(environment), preexec_fn=die_with_parent(signal.SIGTERM))
        try:
            wait_for(lambda: is_mounted(mountpoint) or self.process.poll() is not None, "mounted")
        except AssertionError:
            self.end()
            raise
        if self.process.poll() is not None:
            self.end()  # it may have died with the mount in place
            raise AssertionError(f"mount ended with {self.process.returncode}: {self.log()}")

    def __truediv__(self, path):
        return os.path.join(self.path, path)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def unmount(self, command=(PROGRAM, "umount")):
        """The clean way; the daemon must end well."""
        run(*command, self.path, timeout_s=WAIT_S, env=clean_environment())
        code = self.process.wait(WAIT_S)
        if code != 0:
            raise AssertionError(f"the daemon ended with {code}: {self.log()[-2000:]}")

    def kill(self):
        """As a crash; the dead mount is cleared away."""
        self.process.kill()
        self.process.wait()
        detach(self.path)

    def end(self):
        """Teardown: never hangs, and fails only for a daemon that crashed by itself."""
        end_process(self.process)
        detach(self.path)
        self._log.close()
        if -self.process.returncode in CRASHES:
            raise AssertionError(f"the daemon ended with {self.process.returncode}: {self.log()[-4000:]}")


def record_of_mount(mountpoint, *more_directories):
    """The file that says who serves it, beside its socket; None: there is none. Others mount and
    unmount meanwhile."""
    user = os.getuid()
    directories = ("/run/tciafs", f"/run/user/{user}/tciafs", f"/tmp/tciafs-{user}",
                   os.environ.get("XDG_RUNTIME_DIR", "/nonexistent") + "/tciafs", *more_directories)
    for path in sorted(path for place in directories for path in glob.glob(place + "/*.mount")):
        try:
            with open(path, encoding="utf-8") as record:
                lines = record.read().splitlines()
        except OSError:
            continue
        if lines[2] == mountpoint:
            return path
    return None


def detach(path):
    """Unmounts lazily whatever is there."""
    for _ in range(3):
        if not is_mounted(path):
            return
        command = ["umount", "-l", path] if os.getuid() == 0 else ["fusermount3", "-uz", path]
        subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False)


def clean_environment(extra=None):
    """Nothing of the developer's own settings may decide a test."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("TCIAFS_") and not name.lower().endswith("_proxy")}
    kept.setdefault("HOME", "/nonexistent")
    kept.update(XDG_CONFIG_HOME="/nonexistent", XDG_STATE_HOME="/nonexistent", NETRC="/nonexistent")
    kept.update(extra or {})
    return kept


def command(*words, timeout_s=WAIT_S, environment=None, **options):
    """One of the program's commands to its end: its code and what it printed."""
    return subprocess.run([PROGRAM, *(str(word) for word in words)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=timeout_s, check=False,
                          env=clean_environment(environment), **options)


def is_sanitized():
    """Whether the program was built with a sanitizer."""
    with open(PROGRAM, "rb") as program:
        code = program.read()
    return any(name in code for name in (b"__asan_init", b"__tsan_init"))


def _restore_environment(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _fail_on_reports(prefix):
    for path in sorted(glob.glob(prefix + ".*")):
        with open(path, encoding="utf-8", errors="replace") as report:
            raise AssertionError("a sanitizer reports: " + report.read(8000))


class MountCase(unittest.TestCase):
    """Gives each case its directory and ends what it started, newest first."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="tciafs-mount-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.cache = os.path.join(self.directory, "cache")
        self._mounts = 0
        self._watch_sanitizers()

    def _watch_sanitizers(self):
        """A sanitized daemon reports into the case's directory, in the background and dying too."""
        reports = os.path.join(self.directory, "sanitizer")
        for name in SANITIZER_OPTIONS:
            before = os.environ.get(name)
            os.environ[name] = ":".join(filter(None, [before, f"log_path={reports}"]))
            self.addCleanup(_restore_environment, name, before)
        self.addCleanup(_fail_on_reports, reports)

    def archive(self, *arguments):
        archive = Archive(self.directory, *arguments)
        self.addCleanup(archive.end)
        return archive

    def mount(self, *servers, options=(), cache=None, **keywords):
        self._mounts += 1
        mountpoint = os.path.join(self.directory, f"mnt{self._mounts}")
        urls = [server.url if isinstance(server, Archive) else server for server in servers]
        mount = Mount(mountpoint, cache or self.cache, *options, servers=urls, **keywords)
        self.addCleanup(mount.end)
        return mount

    def remount(self, mount, *servers, **keywords):
        mount.unmount()
        return self.mount(*servers, **keywords)

    def background(self, *command, **options):
        process = subprocess.Popen([str(word) for word in command],
                                   preexec_fn=die_with_parent(signal.SIGKILL), **options)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
        self.addCleanup(end)
        return process


def test_data_folders():
    """Folders with real DICOM files, where TCIAFS_TEST_DATA names a directory that has some."""
    if not TEST_DATA:
        return []
    return sorted(entry.path for entry in os.scandir(TEST_DATA) if entry.is_dir())


def md5_of(path):
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def failure_of(call, *arguments):
    """The name of the errno with which the call fails; None if it does not."""
    try:
        call(*arguments)
    except OSError as failure:
        return errno.errorcode[failure.errno]
    return None


def outcome_of_reading(path):
    """The MD5 sum, or the name of the errno."""
    try:
        return md5_of(path)
    except OSError as failure:
        return errno.errorcode[failure.errno]


def write_secret(path, text):
    """A file that only its owner can read."""
    with open(path, "w", encoding="utf-8",
              opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    return path


def walk_files(top):
    """Every file below, as paths relative to it, in order."""
    found = []
    for directory, names, files in os.walk(top):
        names.sort()
        found += [os.path.relpath(os.path.join(directory, name), top) for name in sorted(files)]
    return found


def require_fuse():
    """Ends the test as skipped, or as failed where it may not be, if nothing can be mounted."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        if os.environ.get("TCIAFS_REQUIRE_FUSE"):
            sys.exit("/dev/fuse is not there, and these tests may not be skipped")
        sys.exit(77)


def main():
    require_fuse()
    unittest.main(verbosity=2)
