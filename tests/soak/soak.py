# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Everything at once, for a long time: readers, walkers, evictions, faults, changes, remounts.

Two test archives, one with accounts, behind one mount with a small cache and a short time to live.
Processes (worker.py) read and walk at random and compare what they get with what the archives hold
or held. Meanwhile servers fail, series are replaced, hidden and added, the mount is ended in every
way and mounted again, the disk is filled by somebody else. It is an error if

  - a byte, a size or a name is wrong, or a name that must be there is not,
  - an operation fails and nothing that was done excuses it (journal.py), or takes too long,
  - the cache takes more than its cap, or leaves temporary files behind at an orderly end,
  - the serving process ends unasked, says something alarming, or grows,
  - at the end, undisturbed, not every instance of every collection reads right.

The first 60% of the time pass without a remount, so that growth can be seen; then the mount comes
and goes. Times vary with the machine: a seed repeats the choices, not the course.
"""

import argparse
import collections
import heapq
import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import faults
import harness
import journal
import sampling
import truth

MIB = 1 << 20
IO_TIMEOUT_S = 8
TTL_S = 2
RSS_MAX = 128 * MIB
REMOUNTS_FROM = 0.6  # of the whole time
ANY_ERROR = None
FINDINGS_MAX = 40
GRACE_S = 40
# What may come of a name that the archive withdraws for a while; also because what it held has to be
# asked for anew once it is back, in the midst of faults.
GONE = {"ENOENT", "ESTALE", "ETIMEDOUT"}
GONE_FOR_READERS = {"EIO", "EACCES"}
ALARMING = re.compile(r"Sanitizer|runtime error:|terminate called|Assertion|stack smashing|double free"
                      r"|corrupted size|\[critical\]")

# Collections by server; data about twice the cache, so that evictions go on all the time.
LARGE = {
    "main": ["SMALL:patients=30,studies=1,series=2,images=8,size=64x64,seed={seed}",
             "MIDDLE:patients=12,studies=1,series=2,images=6,size=256x256,seed={seed}",
             "BLOCKS:patients=6,studies=1,series=1,images=2,size=1024x600,seed={seed},modality=MR"],
    "private": ["CLOSED:patients=15,studies=1,series=1,images=8,size=128x128,seed={seed}",
                "DEEP:patients=10,studies=2,series=1,images=5,size=224x224,seed={seed}"],
}
LITTLE = {
    "main": ["SMALL:patients=10,studies=1,series=2,images=6,size=64x64,seed={seed}",
             "MIDDLE:patients=8,studies=1,series=2,images=6,size=256x256,seed={seed}"],
    "private": ["CLOSED:patients=6,studies=1,series=1,images=6,size=224x224,seed={seed}"],
}
CAP = {True: 16 * MIB, False: 24 * MIB}


def print_line(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class Workers:
    """The processes that use the mount, and the lines they write."""

    def __init__(self, directory, roles, seed):
        self.records = queue.Queue()
        self.count = len(roles)
        self._pause = os.path.join(directory, "pause")
        self.processes = []
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py")
        for number, role in enumerate(roles):
            process = subprocess.Popen(
                [sys.executable, "-B", script, directory, role, str(seed * 100 + number)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
                preexec_fn=harness.die_with_parent(signal.SIGKILL))
            self.processes.append(process)
            threading.Thread(target=self._collect, args=(process,), daemon=True).start()

    def _collect(self, process):
        for line in process.stdout:
            try:
                self.records.put(json.loads(line))
            except ValueError:
                self.records.put({"op": "died", "detail": line.decode(errors="replace")})
        self.records.put({"op": "died", "detail": f"worker {process.pid}"})

    def pause(self):
        with open(self._pause, "w", encoding="utf-8"):
            pass

    def resume(self):
        if os.path.exists(self._pause):
            os.unlink(self._pause)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


class Summary:
    """Counts for the end."""

    def __init__(self):
        self.outcomes = collections.defaultdict(collections.Counter)
        self.slowest = collections.defaultdict(float)
        self.excused = collections.Counter()
        self.faults = collections.Counter()
        self.changes = collections.Counter()
        self.remounts = collections.Counter()
        self.bytes = 0
        self.evictions = 0
        self.cache_peak = 0
        self.lives = []

    def add(self, record):
        self.outcomes[record["op"]][record["outcome"]] += 1
        self.slowest[record["op"]] = max(self.slowest[record["op"]], record["t1"] - record["t0"])
        if record["outcome"] == "ok":
            self.bytes += record.get("bytes", 0)

    def operations(self):
        return sum(sum(counts.values()) for counts in self.outcomes.values())

    def as_dict(self):
        quiet = [sample for life in self.lives for sample in life.quiet]
        lives = [{"seconds": round(life.end - life.start), "peak_rss": life.peak,
                  "first": life.quiet[0], "last": life.quiet[-1], "quiet_moments": len(life.quiet)}
                 for life in self.lives if life.quiet]
        return {
            "operations": self.operations(), "bytes_verified": self.bytes,
            "outcomes": {op: dict(counts) for op, counts in sorted(self.outcomes.items())},
            "slowest_s": {op: round(span, 2) for op, span in sorted(self.slowest.items())},
            "faults": dict(sorted(self.faults.items())), "changes": dict(self.changes),
            "remounts": dict(self.remounts), "evicted_series": self.evictions,
            "cache_bytes_max": self.cache_peak,
            "rss_max": max((life.peak for life in self.lives), default=0),
            "fds_max": max((sample["fds"] for sample in quiet), default=0),
            "threads_max": max((sample["threads"] for sample in quiet), default=0),
            "lives": lives}


class Soak:
    def __init__(self, options):
        self.options = options
        self.seed = options.seed
        self.little = options.minutes < 2
        self.directory = tempfile.mkdtemp(prefix="tciafs-soak-")
        self.cache = os.path.join(self.directory, "cache")
        self.journal = journal.Journal()
        self.summary = Summary()
        self.findings = []
        self.servers = []
        self.mounted = None
        self.life = None
        self.workers = None
        self.paused = 0
        self.tmpfs = False
        self.series_seen = set()
        self.log_read_to = 0
        self.mounts = 0
        self.told = set()
        self.hidden = set()

    # ---- setting up and taking down

    def set_up(self):
        self.truth = truth.TruthWriter(os.path.join(self.directory, "truth"))
        os.mkdir(self.cache)
        # A small disk of its own, where we may make one, so that somebody else can fill it.
        if os.getuid() == 0:
            size = CAP[self.little] + 40 * MIB
            made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tciafs-soak",
                                   self.cache], check=False, capture_output=True)
            self.tmpfs = made.returncode == 0
        secrets = os.path.join(self.directory, "secrets")
        with open(os.open(secrets, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            for name, specs in (LITTLE if self.little else LARGE).items():
                server = self.start_server(name, [spec.format(seed=self.seed) for spec in specs])
                if name == "private":
                    file.write(f"server = {server.archive.url}\nusername = alice\npassword = right\n")
        for server in self.servers:
            for collection in server.collections:
                self.truth.learn(server.archive, collection)
        self.mount()
        self.look_at_everything()
        readers = 3 if self.little else 4
        self.workers = Workers(self.directory, ["reader"] * readers + ["walker"] * 2, self.seed)

    def start_server(self, name, specs):
        plan_file = os.path.join(self.directory, name + ".plan")
        with open(plan_file, "w", encoding="utf-8") as plan:
            plan.write("[]")
        arguments = ["--plan", plan_file, "--zip-level", 1, "--shuffle"]
        for spec in specs:
            arguments += ["--synthetic", spec]
        collections_here = [spec.split(":")[0] for spec in specs]
        if name == "private":
            arguments += ["--families", "v2", "--user", "alice:right", "--token-life-s", 60,
                          "--restricted", f"{collections_here[0]}=alice"]
        archive = harness.Archive(os.path.join(self.directory, name), *arguments)
        server = faults.FaultyServer(name, archive, collections_here, plan_file)
        self.servers.append(server)
        return server

    def mount(self):
        self.mounts += 1
        options = ["--cache-size", CAP[self.little], "--metadata-ttl", f"{TTL_S}s",
                   "--io-timeout", f"{IO_TIMEOUT_S}s", "--min-free", "4M", "--log-level", "info",
                   "--credentials", os.path.join(self.directory, "secrets")]
        self.mounted = harness.Mount(os.path.join(self.directory, "mnt"), self.cache, *options,
                                     servers=[server.archive.url for server in self.servers])
        self.life = sampling.Life(self.mounted.process.pid)
        self.summary.lives.append(self.life)

    def look_at_everything(self):
        """Once everything is listed, a listing has no excuse to be shorter."""
        found = harness.run("find", self.mounted.path, "-type", "f", "-printf", "%P\\n",
                            timeout_s=120).stdout.splitlines()
        if sorted(found) != sorted(self.truth.files):
            self.find(f"the first walk found {len(found)} of {len(self.truth.files)} instances")
        if os.path.exists(os.path.join(self.mounted.path, ".tcia/status.json")):
            with open(os.path.join(self.directory, "has-status"), "w", encoding="utf-8"):
                pass

    def tear_down(self):
        if self.workers:
            self.workers.end()
        for server in self.servers:
            server.thaw()
        if self.mounted:
            self.mounted.end()
        for server in self.servers:
            server.archive.end()
        if self.tmpfs:
            subprocess.run(["umount", "-l", self.cache], check=False, capture_output=True)
        if self.options.keep or self.findings:
            print_line(f"kept: {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    # ---- judging

    def find(self, text, record=None):
        if len(self.findings) >= FINDINGS_MAX:
            return
        self.findings.append(text)
        print_line("FINDING: " + text)
        if record:
            for line in self.journal.near(record) or ["nothing was done at that time"]:
                print_line("    near: " + line)

    def judge(self, record):
        if record["op"] == "paused":
            self.paused += 1
            return
        if record["op"] == "died":
            self.find("a worker died: " + record["detail"])
            return
        span = record["t1"] - record["t0"]
        what = f"{record['op']} of {record['path']}: {record['outcome']} after {span:.1f} s"
        if span > self.journal.time_limit_s(record):
            name = (record["op"], record["path"], record["t0"])
            if name not in self.told:
                self.told.add(name)
                self.find(what + ", over its deadline", record)
        if record["outcome"] == "RUNNING":
            return
        self.summary.add(record)
        if record["outcome"] == "WRONG":
            self.find(f"{what}: {record['detail']}", record)
        elif record["outcome"] == journal.ESTIMATED:
            pass  # so it is told; at the end none may be left
        elif record["outcome"] == "ok":
            self.judge_names(record)
        elif self.journal.excused(record):
            self.summary.excused[record["outcome"]] += 1
        else:
            self.find(f"{what}, and nothing excuses it {record.get('detail', '')}", record)

    def judge_names(self, record):
        for kind in ("missing", "extra"):
            for name in record.get(kind, ()):
                path = name if record.get("whole_paths") else os.path.join(record["path"], name)
                about = dict(record, path=path, outcome="ENOENT")
                # A name too many is one that came back, or is new, and the index came late.
                if not any((window.errors is None or "ENOENT" in window.errors) and
                           window.touches(about) for window in self.journal.windows):
                    self.find(f"{record['op']} of {record['path']}: {kind} {name}", about)

    def pump(self, until):
        """Judges what the workers say until then."""
        while True:
            left = until - time.monotonic()
            try:
                self.judge(self.workers.records.get(timeout=max(left, 0.001)))
            except queue.Empty:
                pass
            if left <= 0:
                return

    def wait_for(self, condition, timeout_s):
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.pump(time.monotonic() + 0.05)
        return True

    # ---- what goes on beside each other; each yields how long to wait

    def run(self):
        start = time.monotonic()
        self.end_at = start + self.options.minutes * 60
        self.remounts_from = start + self.options.minutes * 60 * REMOUNTS_FROM
        actors = [self.watch(), self.watch_space(), self.change(), self.remount(), self.minutes()]
        for server in self.servers:
            actors += [self.disturb(server, self.random(f"outages {server.name}")),
                       self.blips(server, self.random(f"blips {server.name}"))]
        if self.tmpfs:
            actors.append(self.fill())
        due = [(start, number, actor) for number, actor in enumerate(actors)]
        heapq.heapify(due)
        while time.monotonic() < self.end_at and len(self.findings) < FINDINGS_MAX:
            at, number, actor = heapq.heappop(due)
            self.pump(min(at, self.end_at))
            if time.monotonic() >= self.end_at:
                heapq.heappush(due, (at, number, actor))
                break
            heapq.heappush(due, (time.monotonic() + next(actor), number, actor))
        for _, _, actor in due:
            actor.close()  # each undoes what it did

    def random(self, name):
        return random.Random(f"{self.seed} {name}")

    def blips(self, server, chance):
        names = sorted(faults.BLIPS)
        while True:
            yield chance.uniform(2, 6)
            if server.outage is not None:
                continue
            name = chance.choice(names)
            self.summary.faults[name] += 1
            server.blip(faults.BLIPS[name](chance))

    def disturb(self, server, chance):
        # In a short run a server fails once, the other not at all.
        yield chance.uniform(3, 8) if self.little else chance.uniform(10, 60)
        while True:
            outage = chance.choice(faults.OUTAGES)
            window = self.journal.open(f"{server.name}: {outage.name}", server.collections,
                                       outage.errors, outage.operations, GRACE_S)
            window.leaves_out = outage.leaves_out
            self.summary.faults[outage.name] += 1
            server.begin(outage, chance)
            try:
                yield chance.uniform(3, 6) if self.little else chance.uniform(5, 15)
            finally:
                server.end()
                window.close()
            yield chance.uniform(60, 110)

    def change(self):
        chance = self.random("changes")
        while True:
            yield chance.uniform(4, 12)
            server = chance.choice(self.servers)
            if server.outage is not None:
                continue
            action = chance.choices(("replace", "hide", "add", "drop"), (10, 4, 1, 1))[0]
            yield from getattr(self, "change_by_" + action)(server, chance)

    def some_series(self, server, chance):
        paths = sorted({os.path.dirname(path) for path in self.truth.files
                        if path.split("/")[0] in server.collections})
        return chance.choice(paths)

    def change_by_replace(self, server, chance):
        series = self.some_series(server, chance)
        self.summary.changes["series replaced"] += 1
        # The old row tells what no longer comes until it has been renewed.
        window = self.journal.open(f"replaced {series}", [series],
                                   {"ESTALE", "EIO"}, None, 90)
        server.mutate(replace_series=os.path.basename(series), other_size=chance.random() < 0.5)
        self.truth.replaced(server.archive, series)
        window.close()
        yield 0

    def change_by_hide(self, server, chance):
        series = self.some_series(server, chance)
        patient = "/".join(series.split("/")[:2])
        self.summary.changes["series hidden and shown"] += 1
        window = self.journal.open(f"hidden {series}", [patient],
                                   GONE, None, 60,
                                   reads=GONE_FOR_READERS)
        server.mutate(hide_series=os.path.basename(series))
        try:
            yield chance.uniform(3, 15)
        finally:
            self.when_up(server, show_series=os.path.basename(series))
            window.close()

    def change_by_drop(self, server, chance):
        collection = chance.choice(server.collections)
        self.summary.changes["collection withdrawn and restored"] += 1
        window = self.journal.open(f"withdrawn {collection}", [collection],
                                   GONE, None, 90,
                                   reads=GONE_FOR_READERS)
        server.mutate(drop_collection=collection)
        try:
            yield chance.uniform(3, 10)
        finally:
            self.when_up(server, restore_collection=collection)
            window.close()

    def change_by_add(self, server, chance):
        collection = server.collections[0]
        if len(self.truth.files) > 3000:
            return
        self.summary.changes["patients added"] += 1
        window = self.journal.open(f"patient added to {collection}", [collection],
                                   {"ENOENT"}, None, 60)
        server.mutate(add_patients={"collection": collection, "count": 1})
        self.truth.learn(server.archive, collection)
        window.close()
        yield chance.uniform(1, 2)

    def when_up(self, server, **change):
        """Changes a server that may be down or frozen just now: then it is told at its return."""
        if server.outage is faults.DOWN:
            server.changes.append(change)
        else:
            frozen = server.outage is faults.FROZEN
            server.thaw() if frozen else None
            server.mutate(**change)
            server.freeze() if frozen else None

    def fill(self):
        """Somebody else fills the disk, and leaves it."""
        chance = self.random("disk")
        filler = os.path.join(self.cache, "filler")
        while True:
            yield chance.uniform(5, 10) if self.little else chance.uniform(40, 90)
            window = self.journal.open("disk filled", [""], {"ENOSPC", "EIO"}, journal.READS, 20)
            self.summary.faults["disk filled"] += 1
            left = chance.choice((0, 1, 3, 6, 12)) * MIB
            try:
                with open(filler, "wb", buffering=0) as file:
                    space = os.statvfs(self.cache)
                    wanted = max(space.f_bavail * space.f_frsize - left, 0)
                    try:
                        while wanted > 0:
                            wanted -= file.write(bytes(min(wanted, MIB)))
                    except OSError:
                        pass  # full: so it was meant
                yield chance.uniform(2, 10)
            finally:
                if os.path.exists(filler):
                    os.unlink(filler)
                window.close()

    def remount(self):
        chance = self.random("remounts")
        ways = ("umount", "SIGTERM", "kill", "kill")
        while True:
            pause = chance.uniform(4, 12) if self.little else chance.uniform(8, 45)
            yield max(self.remounts_from - time.monotonic(), pause)
            way = chance.choice(ways)
            window = self.journal.open(f"remount after {way}", [""], ANY_ERROR, None, 3)
            self.summary.remounts[way] += 1
            start = time.monotonic()
            self.end_life()
            self.end_mount(way)
            if way != "kill":
                self.check_leftovers()
            took = time.monotonic() - start
            if took > 30:
                self.find(f"ending the mount by {way} took {took:.1f} s")
            self.mount()
            window.close()

    def end_life(self):
        self.life.sample()
        self.life.end = time.monotonic()
        for growth in self.life.growth():
            self.find(f"the process of {self.life.end - self.life.start:.0f} s grows: {growth}")
        if self.life.peak > self.options.rss_max_mib * MIB:
            self.find(f"resident memory reached {self.life.peak / MIB:.0f} MiB")

    def end_mount(self, way):
        mounted, process = self.mounted, self.mounted.process
        if process.poll() is not None:
            self.find(f"the serving process ended unasked with {process.returncode}")
        try:
            if way == "kill":
                mounted.kill()
            elif way == "umount":
                mounted.unmount()
            else:
                process.send_signal(signal.SIGTERM)
                code = process.wait(harness.WAIT_S)
                if code != 0 or harness.is_mounted(mounted.path):
                    self.find(f"after SIGTERM it ended with {code}, "
                              f"mounted: {harness.is_mounted(mounted.path)}")
        except (AssertionError, subprocess.TimeoutExpired) as failure:
            self.find(f"ending the mount by {way}: {str(failure)[:500]}")
        mounted.end()
        self.read_log()

    def check_leftovers(self):
        left = [os.path.join(directory, name)
                for directory, _, names in os.walk(os.path.join(self.cache, "images"))
                for name in names if name.endswith(".part") or name == "journal"]
        if left:
            self.find(f"left behind at an orderly end: {left[:5]}")

    def read_log(self):
        with open(self.mounted.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(self.log_read_to)
            for line in log:
                if ALARMING.search(line):
                    self.find("the log says: " + line.strip()[:400])
            self.log_read_to = log.tell()

    def watch(self):
        """That the process lives, and what it takes at its worst."""
        while True:
            self.life.sample()
            if self.mounted.process.poll() is not None:
                self.find(f"the serving process ended unasked with {self.mounted.process.returncode}")
                window = self.journal.open("mounted again after its death", [""], ANY_ERROR, None, 3)
                self.life.end = time.monotonic()
                self.mounted.end()
                self.read_log()
                self.mount()
                window.close()
            yield 1

    def watch_space(self):
        images = os.path.join(self.cache, "images")
        cap = CAP[self.little]
        while True:
            used, series = sampling.disk_bytes(images)
            for _ in range(3):  # what is moved while we look may count twice
                if used > cap:
                    used = min(used, sampling.disk_bytes(images)[0])
            if used > cap:
                self.find(f"the cache takes {used} bytes, its cap is {cap}")
            self.summary.cache_peak = max(self.summary.cache_peak, used)
            self.summary.evictions += len(self.series_seen - series)
            self.series_seen = series
            yield 1.5

    def minutes(self):
        """A quiet moment each minute, in which the process is looked at, and a line."""
        start = time.monotonic()
        yield 20 if self.little else 30
        while True:
            self.be_quiet()
            figures = self.life.sample_quiet() or {"rss": 0, "fds": 0, "threads": 0}
            self.workers.resume()
            self.read_log()
            self.journal.forget_before(time.monotonic())
            print_line(f"{(time.monotonic() - start) / 60:5.1f} min: {self.summary.operations()} operations, "
                       f"{self.summary.bytes / MIB:.0f} MiB verified, "
                       f"{sum(self.summary.excused.values())} excused errors, "
                       f"{sum(self.summary.faults.values())} faults, {self.mounts - 1} remounts, "
                       f"{self.summary.evictions} evictions, RSS {figures['rss'] / MIB:.0f} MiB "
                       f"(peak {self.life.peak / MIB:.0f}), {figures['fds']} fds, "
                       f"{figures['threads']} threads, {len(self.findings)} findings")
            yield 60

    def be_quiet(self):
        """Pauses the workers and lets downloads come to their end, as far as they do soon."""
        self.paused = 0
        self.workers.pause()
        self.wait_for(lambda: self.paused >= self.workers.count, 30)
        self.wait_for(lambda: all(server.outage is not None or server.archive.active("Image") == 0
                                  for server in self.servers), 10)
        self.pump(time.monotonic() + 0.5)

    # ---- the end

    def verify(self):
        """Nothing disturbs any more: every instance must read right, soon."""
        self.paused = 0
        self.workers.pause()
        if not self.wait_for(lambda: self.paused >= self.workers.count, 120):
            self.find("some worker does not come to an end, though nothing is done any more")
        start = time.monotonic()
        patience_s = 60 + journal.DISTURBED_MAX_S + self.journal.left_out.longest_s()
        wrong = dict.fromkeys(sorted(self.truth.files), "not read yet")
        while wrong and time.monotonic() < start + patience_s:
            for path in list(wrong):
                outcome = self.verify_one(path)
                if outcome is None:
                    del wrong[path]
                else:
                    wrong[path] = outcome
            if wrong:
                time.sleep(1)
        for path, outcome in list(wrong.items())[:10]:
            self.find(f"at the end {path} is not right: {outcome} {self.reason_of(path)}")
        found = harness.run("find", self.mounted.path, "-type", "f", "-printf", "%P\\n",
                            timeout_s=120, check=False).stdout.splitlines()
        if sorted(found) != sorted(self.truth.files):
            odd = set(found) ^ set(self.truth.files)
            self.find(f"at the end {len(odd)} names are too many or too few: {sorted(odd)[:5]}")
        print_line(f"verified {len(self.truth.files) - len(wrong)} of {len(self.truth.files)} "
                   f"instances at the end, in {time.monotonic() - start:.0f} s")

    def verify_one(self, path):
        try:
            with open(self.mounted / path, "rb") as file:
                content = file.read()
        except OSError as failure:
            return str(failure)
        if content != self.truth.current(path):
            return "not the archive's bytes of now"
        if os.stat(self.mounted / path).st_size != len(content):
            return "another size than its bytes have"
        self.summary.bytes += len(content)
        return None

    def reason_of(self, path):
        try:
            return os.getxattr(self.mounted / path, "user.tcia.error").decode(errors="replace")
        except OSError:
            return ""

    def finish(self):
        self.verify()
        self.life.sample_quiet()
        self.end_life()
        self.end_mount("umount")
        self.check_leftovers()
        if os.listdir(self.mounted.path):
            self.find("the mountpoint is not empty after the end")
        for server in self.servers:
            server.count()

    def report(self):
        result = self.summary.as_dict()
        result["requests"] = {server.name: server.requests for server in self.servers}
        result["seed"] = self.seed
        result["minutes"] = self.options.minutes
        result["instances"] = len(self.truth.files)
        result["findings"] = self.findings
        if self.options.json:
            with open(self.options.json, "w", encoding="utf-8") as file:
                json.dump(result, file, indent=1)
        print_summary(result)


def print_summary(result):
    print(f"\n{result['operations']} operations, {result['bytes_verified'] / MIB:.0f} MiB verified, "
          f"{result['evicted_series']} series evicted, cache at most "
          f"{result['cache_bytes_max'] / MIB:.1f} MiB")
    for operation, counts in result["outcomes"].items():
        told = ", ".join(f"{outcome} {count}" for outcome, count in
                         sorted(counts.items(), key=lambda item: -item[1]))
        print(f"  {operation:10} {told}; slowest {result['slowest_s'][operation]} s")
    for title in ("faults", "changes", "remounts"):
        print(f"{title}: " + ", ".join(f"{name} {count}" for name, count in result[title].items()))
    print("requests: " + json.dumps(result["requests"]))
    print(f"serving process: RSS at most {result['rss_max'] / MIB:.0f} MiB, "
          f"{result['fds_max']} fds, {result['threads_max']} threads in quiet moments")
    longest = max(result["lives"], key=lambda life: life["seconds"], default=None)
    if longest:
        for moment in ("first", "last"):
            figures = longest[moment]
            print(f"  longest life ({longest['seconds']} s), {moment} quiet moment: "
                  f"RSS {figures['rss'] / MIB:.1f} MiB ({figures['anon'] / MIB:.1f} anonymous), "
                  f"{figures['fds']} fds, {figures['threads']} threads")
    print("summary: " + json.dumps({key: value for key, value in result.items()
                                    if key not in ("outcomes", "slowest_s", "lives", "faults")}))
    if result["findings"]:
        print(f"{len(result['findings'])} FINDINGS:")
        for finding in result["findings"]:
            print("  " + finding)
        print(f"again: scripts/soak {result['minutes']:g} --seed {result['seed']} --keep")
    else:
        print("nothing found")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("minutes", type=float, help="may be a fraction; below 2: a small form")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    parser.add_argument("--keep", action="store_true", help="keep logs, cache and truth")
    parser.add_argument("--json", help="write the summary there")
    parser.add_argument("--rss-max-mib", type=int, default=RSS_MAX // MIB,
                        help="for builds with sanitizers, which take more")
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print_line(f"soak of {options.minutes:g} minutes, seed {options.seed}")
    soak = Soak(options)
    try:
        soak.set_up()
        soak.run()
        soak.finish()
        soak.report()
    finally:
        soak.tear_down()
    return 1 if soak.findings else 0


if __name__ == "__main__":
    sys.exit(main())
