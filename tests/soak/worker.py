# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""One process of the soak: does random operations on the mount and tells what came of each.

Writes one JSON line per operation; the main process judges. Wrong bytes are found here. An operation
that takes long is told while it still runs. While the file `pause` exists nothing is begun.
    worker.py DIRECTORY ROLE SEED
"""

import errno
import hashlib
import json
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time

import truth

TOLD_AFTER_S = 10
MESSAGES = {os.strerror(number): name for number, name in errno.errorcode.items()}
CALM = {"LC_ALL": "C", "PATH": os.environ.get("PATH", "")}


class Wrong(Exception):
    """Bytes, a size or a name that the archive never had."""


class Reporter:
    """Lines to the main process; a thread tells of operations that take long."""

    def __init__(self):
        self._lock = threading.Lock()
        self._current = None
        threading.Thread(target=self._watch, daemon=True).start()

    def begin(self, operation, path):
        self._current = (operation, path, time.monotonic())

    def end(self, outcome, **more):
        operation, path, start = self._current
        self._current = None
        self.tell(op=operation, path=path, t0=start, t1=time.monotonic(), outcome=outcome, **more)

    def tell(self, **record):
        line = json.dumps(record, separators=(",", ":")) + "\n"
        with self._lock:
            sys.stdout.write(line)
            sys.stdout.flush()

    def _watch(self):
        while True:
            time.sleep(2)
            current = self._current
            if current and time.monotonic() - current[2] > TOLD_AFTER_S:
                self.tell(op=current[0], path=current[1], t0=current[2], t1=time.monotonic(),
                          outcome="RUNNING")


class Worker:
    def __init__(self, directory, role, seed):
        self.directory = directory
        self.mount = os.path.join(directory, "mnt")
        self.truth = truth.TruthReader(os.path.join(directory, "truth"))
        self.chance = random.Random(seed)
        self.report = Reporter()
        self.hot = []
        readers = [(self.whole, 40), (self.pieces, 20), (self.mapped, 8), (self.headers, 10),
                   (self.kept_open, 6), (self.victim, 10), (self.compared, 3)]
        walkers = [(self.listing, 35), (self.sizes, 25), (self.attributes, 15), (self.find, 4),
                   (self.long_listing, 2), (self.usage, 2), (self.space, 4), (self.absent, 8)]
        chosen = readers if role == "reader" else walkers
        self.operations, self.weights = zip(*chosen)

    def run(self):
        pause = os.path.join(self.directory, "pause")
        while True:
            if os.path.exists(pause):
                self.report.tell(op="paused")
                while os.path.exists(pause):
                    time.sleep(0.05)
            self.truth.refresh()
            self.attempt(self.chance.choices(self.operations, self.weights)[0])
            time.sleep(self.chance.uniform(0, 0.01))

    def attempt(self, operation):
        try:
            operation()
        except Wrong as wrong:
            self.report.end("WRONG", detail=str(wrong))
        except OSError as failure:
            self.report.end(errno.errorcode.get(failure.errno, str(failure)))
            time.sleep(self.chance.uniform(0.02, 0.2))

    def begin(self, operation, path):
        self.report.begin(operation, path)
        return os.path.join(self.mount, path)

    def choose(self):
        """A path; often of a few series that everybody reads for a while."""
        if not self.hot or self.chance.random() < 0.02:
            # The same for all workers within ten seconds, so that they meet.
            shared = random.Random(int(time.monotonic() / 10))
            self.hot = shared.sample(sorted(self.truth.series), min(6, len(self.truth.series)))
        if self.chance.random() < 0.5:
            return self.chance.choice(self.truth.series[self.chance.choice(self.hot)])
        return self.chance.choice(self.truth.paths)

    # ---- what readers do

    def check(self, path, fits, what):
        editions = self.truth.matching(path, fits)
        if not editions:
            raise Wrong(what)
        return editions

    def check_whole(self, path, content):
        if not self.truth.matching(path, lambda right: right == content):
            kept = os.path.join(self.directory, f"wrong-{os.getpid()}-{time.monotonic_ns()}.dcm")
            with open(kept, "wb") as file:
                file.write(content)
            raise Wrong(f"{len(content)} bytes that are of no edition, kept as {kept}")

    def whole(self):
        path = self.choose()
        with open(self.begin("read", path), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            content = b"".join(iter(lambda: file.read(self.chance.choice((4096, 1 << 17, 1 << 20))), b""))
        if len(content) != size:
            raise Wrong(f"fstat told {size} bytes, {len(content)} came")
        self.check_whole(path, content)
        self.report.end("ok", bytes=len(content))

    def pieces(self):
        path = self.choose()
        file = os.open(self.begin("pread", path), os.O_RDONLY)
        try:
            self.report.end("ok", bytes=self.read_pieces(path, file, self.chance.randint(3, 20), 0))
        finally:
            os.close(file)

    def kept_open(self):
        """One file read slowly: evictions and replacements happen meanwhile."""
        path = self.choose()
        file = os.open(self.begin("keep", path), os.O_RDONLY)
        try:
            self.report.end("ok", bytes=self.read_pieces(path, file, 5, 0.3))
        finally:
            os.close(file)

    def read_pieces(self, path, file, count, wait_s):
        """Pieces of one open file must all be of one edition."""
        size = os.fstat(file).st_size
        seen = []
        for _ in range(count):
            offset = self.chance.randrange(size + 100)
            piece = os.pread(file, self.chance.choice((1, 100, 4096, 70000)), offset)
            if not piece and offset < size:
                raise Wrong(f"nothing at {offset} of {size}")
            seen.append((offset, piece))
            time.sleep(wait_s)
        self.check(path, lambda right: len(right) == size and all(
            right[offset:offset + len(piece)] == piece for offset, piece in seen),
            f"pieces at {[offset for offset, _ in seen]} are of no one edition of {size} bytes")
        return sum(len(piece) for _, piece in seen)

    def mapped(self):
        """In a child: what cannot be read is a signal there."""
        path = self.choose()
        whole = self.begin("mmap", path)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = self.read_mapped(path, whole)
            except OSError as failure:
                code = 100 + failure.errno
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            self.report.end(signal.Signals(os.WTERMSIG(status)).name)
        elif os.WEXITSTATUS(status) > 100:
            self.report.end(errno.errorcode[os.WEXITSTATUS(status) - 100])
        elif os.WEXITSTATUS(status) != 0:
            self.report.end("WRONG", detail=f"mapped bytes are of no edition ({status})")
        else:
            self.report.end("ok", bytes=20000)

    def read_mapped(self, path, whole):
        with open(whole, "rb") as file, \
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            pieces = [(offset, memory[offset:offset + 4000])
                      for offset in (self.chance.randrange(len(memory)) for _ in range(5))]
        fits = self.truth.matching(path, lambda right: all(
            right[offset:offset + len(piece)] == piece for offset, piece in pieces))
        return 0 if fits else 1

    def headers(self):
        """The head of each file of a series, as indexers do."""
        paths = self.truth.series[os.path.dirname(self.choose())]
        for path in paths:
            with open(self.begin("head", path), "rb", buffering=0) as file:
                head = file.read(2048)
            if head[128:132] != b"DICM":
                raise Wrong("no DICOM head")
            self.check(path, lambda right, head=head: right.startswith(head), "head of no edition")
            self.report.end("ok", bytes=len(head))

    def compared(self):
        path = self.choose()
        whole = self.begin("md5sum", path)
        output = self.program("md5sum", whole)
        if output is not None:
            md5 = output.split()[0].removeprefix("\\")
            self.check(path, lambda right: hashlib.md5(right).hexdigest() == md5, "md5 of no edition")
            self.report.end("ok", bytes=os.path.getsize(self.truth.editions(path)[0]))

    def victim(self):
        """A reader that is interrupted, or killed, must be gone at once."""
        path = self.choose()
        whole = self.begin("interrupt", path)
        with subprocess.Popen(["cat", whole], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, env=CALM, text=True) as reader:
            time.sleep(self.chance.choice((0, 0.01, 0.1, 0.5)))
            self.report.begin("interrupt", path)  # from here it is the end that is timed
            reader.send_signal(self.chance.choice((signal.SIGINT, signal.SIGKILL, signal.SIGTERM)))
            _, complaint = reader.communicate()
        self.report.end("ok" if reader.returncode <= 0 else errno_in(complaint))

    # ---- what walkers do

    def directory_path(self):
        path = self.chance.choice(self.truth.paths)
        for _ in range(self.chance.randint(1, 5)):
            path = os.path.dirname(path)
        return path

    def compare_names(self, path, names):
        """Which of the names expected are missing, and which are there unexpectedly."""
        expected = self.truth.children[path]
        return {"missing": sorted(expected - set(names))[:20], "extra": sorted(set(names) - expected)[:20]}

    def listing(self):
        path = self.directory_path()
        names = os.listdir(self.begin("list", path))
        if names != sorted(names, key=os.fsencode) or len(set(names)) != len(names):
            raise Wrong("a listing that is not sorted")
        self.report.end("ok", **self.compare_names(path, names))

    def sizes(self):
        for path in [self.choose() for _ in range(30)]:
            whole = self.begin("stat", path)
            size = os.stat(whole).st_size
            if size in self.truth.sizes(path):
                self.report.end("ok")
            elif self.is_estimate(path, whole):
                self.report.end("ESTIMATED")
            else:
                self.check(path, lambda right, size=size: len(right) == size, f"size {size}")
                self.report.end("ok")

    def is_estimate(self, path, whole):
        """By its mark; or it was one, and is right by now."""
        return os.getxattr(whole, "user.tcia.size") == b"estimated" or \
            os.stat(whole).st_size in self.truth.sizes(path)

    def attributes(self):
        path = self.choose()
        if self.chance.random() < 0.3:
            path = self.directory_path()
        whole = self.begin("xattr", path)
        values = {name: os.getxattr(whole, name) for name in os.listxattr(whole)
                  if name != "user.tcia.error"}  # which may go away in between
        md5 = values.get("user.tcia.md5", b"").decode()
        if md5:
            self.check(path, lambda right: hashlib.md5(right).hexdigest() == md5, "md5 of no edition")
        self.report.end("ok")

    def program(self, *command):
        """Its output; what it complains of becomes the outcome, and None is returned."""
        done = subprocess.run(command, capture_output=True, env=CALM, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        self.report.end(errno_in(done.stderr), detail=done.stderr[-300:])
        time.sleep(0.1)
        return None

    def find(self):
        collection = self.chance.choice(sorted(self.truth.children[""]))
        output = self.program("find", self.begin("find", collection), "-type", "f", "-printf",
                              collection + "/%P\\n")
        if output is not None:
            found = set(output.splitlines())
            expected = {path for path in self.truth.paths if path.startswith(collection + "/")}
            self.report.end("ok", missing=sorted(expected - found)[:20],
                            extra=sorted(found - expected)[:20], whole_paths=True)

    def long_listing(self):
        path = self.chance.choice(self.truth.paths).split("/", 1)[0]
        if self.program("ls", "-lR", self.begin("ls -lR", path)) is not None:
            self.report.end("ok")

    def usage(self):
        path = self.chance.choice(self.truth.paths).split("/", 1)[0]
        if self.program("du", "-s", "--apparent-size", self.begin("du", path)) is not None:
            self.report.end("ok")

    def space(self):
        os.statvfs(self.begin("statfs", ""))
        self.report.end("ok")
        status = self.begin("status", ".tcia/status.json")
        if not os.path.exists(os.path.join(self.directory, "has-status")):
            self.report.end("ok")
            return
        with open(status, encoding="utf-8") as file:
            try:
                json.load(file)
            except ValueError as broken:
                raise Wrong(f"status.json: {broken}") from broken
        self.report.end("ok")

    def absent(self):
        """Names that do not exist, of every level and of none."""
        path = os.path.join(self.directory_path(), self.chance.choice(
            ("nobody", ".DS_Store", "1.2.3.4.5", "x" * 200, "%41")) + str(self.chance.randrange(50)))
        try:
            os.stat(self.begin("absent", path))
        except FileNotFoundError:
            self.report.end("ok")
        else:
            raise Wrong("a name that does not exist")


def errno_in(complaint):
    """The name of the error a program complains of."""
    for message, name in MESSAGES.items():
        if message in complaint:
            return name
    return "failed"


def main():
    directory, role, seed = sys.argv[1:]
    Worker(directory, role, seed).run()


if __name__ == "__main__":
    main()
