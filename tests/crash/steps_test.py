# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""SIGKILL at every named commit step, then: no wrong byte, nothing published lost, nothing left.

By default each step at its first hit and, of the steps an instance passes on its way into the cache,
a later one; with TCIAFS_CRASH_HITS=all every step also at its second, a middle and its last hit.
"""

import os
import shutil
import time

import crashes
import fault_points
import harness

SMALL = "C:patients=2,studies=1,series=2,images=5,size=96x96"
# Four series of about 5 MB: the cap holds two.
LARGE = "C:patients=1,studies=1,series=4,images=9,size=512x512"
ALL_HITS = os.environ.get("TCIAFS_CRASH_HITS") == "all"
OFTEN_HIT = ("cache.instance.", "cache.index.", "store.")


class Died(Exception):
    """The process is gone, as planned."""


class Life:
    """What happens to a cache until it ends or is killed, and what was readable until then."""

    def __init__(self, case, *archive_options):
        self.case = case
        self.server = case.archive(*archive_options)
        self.options = []
        self.published = {}
        self.truth = {}
        self.allowed = {}
        self.mount = None
        self.learn_truth()

    def learn_truth(self):
        self.truth = {path: md5 for path, (md5, _) in self.server.truth("C").items()}
        for path, md5 in self.truth.items():
            self.allowed.setdefault(path, set()).add(md5)

    def begin(self):
        self.mount = self.case.faulty_mount(self.server, options=self.options)
        if self.mount is None:
            raise Died
        return self.mount

    def died(self):
        return self.mount.process.poll() is not None

    def attempt(self, action):
        try:
            return action()
        except (OSError, AssertionError):
            if self.mount.process.wait(harness.WAIT_S) == -9:
                raise Died from None
            raise

    def walk(self):
        # A walk hides errors; the file system's end shows in the next call.
        self.attempt(lambda: (harness.walk_files(self.mount.path), os.stat(self.mount.path)))

    def read(self, path):
        self.published[path] = self.attempt(lambda: harness.md5_of(self.mount / path))

    def read_all(self):
        for path in sorted(self.truth):
            self.read(path)

    def series(self):
        """The paths of each series."""
        grouped = {}
        for path in sorted(self.truth):
            grouped.setdefault(os.path.dirname(path), []).append(path)
        return list(grouped.values())

    def end(self):
        self.attempt(self.mount.unmount)

    def kill(self):
        self.mount.kill()

    def files(self, suffix=".dcm"):
        found = []
        for directory, _, names in os.walk(os.path.join(self.case.cache, "images", "series")):
            found += [os.path.join(directory, name) for name in names if name.endswith(suffix)]
        return sorted(found)


def flip(path, offset, bit=0):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


# Each scenario prepares something without faults, then calls go(), and from there on the plan holds.

def a_whole_life(life, go):
    go()
    life.begin()
    life.walk()
    life.read_all()
    life.end()


def a_small_cap(life, go):
    life.begin()
    life.walk()
    first, second, *others = life.series()
    for path in first + second:
        life.read(path)
    go()
    life.published = {}  # may be evicted from now on
    for paths in others:
        for path in paths:
            life.read(path)
        life.published = {path: life.published[path] for path in paths}
    life.end()


def a_replaced_series(life, go):
    life.options = ["--metadata-ttl", "1s"]
    life.begin()
    life.walk()
    life.read_all()
    path = sorted(life.truth)[0]
    life.server.mutate(replace_series=path.split("/")[3])
    life.learn_truth()
    go()
    life.published = {}

    def renewed():
        return harness.md5_of(life.mount / path) == life.truth[path]
    life.attempt(lambda: harness.wait_for(renewed, "the new bytes"))
    life.end()


def a_damaged_instance(life, go):
    life.begin()
    life.walk()
    life.read_all()
    life.end()
    damaged = life.files()[0]
    flip(damaged, 3000)
    go()
    life.published = {path: md5 for path, md5 in life.published.items()
                      if not damaged.endswith(os.path.basename(path))}
    life.begin()
    life.read_all()
    life.end()


def a_crash_before(life, go):
    life.begin()
    life.walk()
    life.case.faults.plan("cache.instance.renamed=KILL@4")
    try:
        life.read_all()
        raise AssertionError("not killed")
    except Died:
        harness.detach(life.mount.path)
    go()
    life.begin()
    life.read_all()
    life.end()


def a_crash_before_the_first_instance(life, go):
    life.begin()
    life.walk()
    life.case.faults.plan("cache.instance.block_written=KILL")
    try:
        life.read_all()
        raise AssertionError("not killed")
    except Died:
        harness.detach(life.mount.path)
    life.published = {}
    go()
    life.begin()
    life.read_all()
    life.end()


def a_lost_format(life, go):
    life.begin()
    life.walk()
    life.read_all()
    life.end()
    os.unlink(os.path.join(life.case.cache, "images", "FORMAT"))
    os.mkdir(os.path.join(life.case.cache, "images", "index.damaged"))
    go()
    life.published = {}
    life.begin()
    life.read_all()
    life.end()


def an_older_format(life, go):
    life.begin()
    life.walk()
    life.read_all()
    life.end()
    with open(os.path.join(life.case.cache, "images", "FORMAT"), "w", encoding="utf-8") as file:
        file.write("tciafs-cache 1\n")
    go()
    life.published = {}
    life.begin()
    life.read_all()
    life.end()


def a_damaged_record(life, go):
    """Of a series, after a crash: its structure is whole, its checksum is not."""
    life.begin()
    life.walk()
    life.read_all()
    life.case.faults.plan("cache.close.committed=KILL")
    try:
        life.end()
        raise AssertionError("not killed")
    except Died:
        harness.detach(life.mount.path)
    uid = sorted(life.truth)[0].split("/")[3].encode()
    index = os.path.join(life.case.cache, "images", "index", "data.mdb")
    with open(index, "rb") as file:
        content = file.read()
    at = content.find(uid)
    while at >= 0:
        flip(index, at + 2)
        at = content.find(uid, at + 1)
    go()
    life.published = {}
    life.begin()
    life.read_all()
    life.end()


def a_damaged_catalog(life, go):
    life.begin()
    life.walk()
    life.end()
    data = os.path.join(life.case.cache, "catalog", "data.mdb")
    with open(data, "r+b") as file:
        file.write(b"\0" * os.path.getsize(data))
    go()
    life.begin()
    life.walk()
    life.read_all()
    life.end()


def a_full_index(life, go):
    """What is remembered without bytes is forgotten to make room."""
    a_small_cap(life, lambda: None)
    go("cache.index.commit=ENOSPC@4")
    life.published = {}
    life.begin()
    life.read_all()
    last = life.series()[-1]  # the others may have been evicted
    life.published = {path: life.published[path] for path in last}
    life.end()


def a_failing_disk(life, go):
    go("cache.disk.write=SHORT@4")
    try:
        life.begin()
        life.walk()
        life.read_all()
        life.end()
    finally:
        life.published = {}  # in memory only


def a_removed_series(life, go):
    life.options = ["--metadata-ttl", "1s"]
    life.begin()
    life.walk()
    patient = "/".join(sorted(life.truth)[0].split("/")[:2])
    hidden = {path.split("/")[3] for path in life.truth if path.startswith(patient + "/")}
    for uid in hidden:
        life.server.mutate(hide_series=uid)

    def gone():
        os.stat(life.mount.path)
        return not os.path.exists(life.mount / patient)

    def cleared():
        return life.died() or life.case.faults.hits().get("catalog.cleared")
    go()
    try:
        life.attempt(lambda: harness.wait_for(gone, "it has gone"))
        harness.wait_for(cleared, "what lay below is cleared")
        if life.died():
            raise Died
        life.end()
    finally:
        for uid in hidden:
            life.server.mutate(show_series=uid)


SCENARIOS = [
    (a_whole_life, SMALL), (a_small_cap, LARGE), (a_replaced_series, SMALL),
    (a_damaged_instance, SMALL), (a_crash_before, SMALL),
    (a_crash_before_the_first_instance, SMALL), (a_lost_format, SMALL),
    (an_older_format, SMALL),    (a_damaged_record, SMALL), (a_damaged_catalog, SMALL), (a_full_index, LARGE),
    (a_failing_disk, SMALL), (a_removed_series, SMALL),
]


def chosen_hits(step, count):
    if ALL_HITS:
        return sorted({1, min(2, count), (count + 1) // 2, count})
    if step.startswith(OFTEN_HIT) and count > 2:
        return [1, count // 2 + 1]
    return [1]


class Steps(crashes.CrashCase):
    def play(self, scenario, spec, *rules):
        """(life, whether it died)"""
        self.cache = os.path.join(self.directory, f"cache-{time.monotonic_ns()}")
        self.faults.plan()
        life = Life(self, "--synthetic", spec, "--zip-level", 1)
        began = []

        def go(*more):
            began.append(True)
            self.faults.forget()
            self.faults.plan(*rules, *more)
        died = False
        try:
            scenario(life, go)
        except Died:
            died = True
            if life.mount is not None:
                self.clear_away(life.mount)
        self.assertTrue(began, "died before the faults began")
        return life, died

    def finish(self, life, whole=True):
        self.check_survivors(life.server, life.allowed, life.published)
        if whole:
            self.check_whole(life.server, life.truth, options=life.options)
        life.server.end()
        shutil.rmtree(self.cache)

    def test_every_step(self):
        # A long text of .tcia is in a file without a name: nothing of it survives.
        steps = fault_points.commit_steps() | fault_points.calls() - {"text.write"}
        self.assertGreater(len(steps), 60)
        scenario_of = {}
        for scenario, spec in SCENARIOS:
            with self.subTest(scenario=scenario.__name__):
                life, died = self.play(scenario, spec)
                self.assertFalse(died)
                hits = self.faults.hits()
                self.finish(life)
                for step in steps & set(hits):
                    scenario_of.setdefault(step, (scenario, spec, hits[step]))
        self.assertEqual(sorted(steps - set(scenario_of)), [], "steps no scenario reaches")
        killed = 0
        for step in sorted(steps):
            scenario, spec, count = scenario_of[step]
            for hit in chosen_hits(step, count):
                with self.subTest(step=step, hit=hit, scenario=scenario.__name__):
                    life, died = self.play(scenario, spec, f"{step}=KILL@{hit}")
                    # Later hits may come in another number each time.
                    self.assertTrue(died or hit > 1)
                    killed += died
                    # Mounting a third time takes long; in the short form not every crash gets it.
                    self.finish(life, whole=ALL_HITS or killed % 4 == 0)
        self.assertGreaterEqual(killed, len(steps))
        print(f"{len(steps)} steps, {killed} kills")


if __name__ == "__main__":
    harness.main()
