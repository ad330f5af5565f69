# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""SIGKILL at random moments under load: readers, walkers, evictions, series that are replaced.

TCIAFS_CRASH_MOMENTS says how many (12), TCIAFS_CRASH_SEED which choices are made (printed by each
run). Two caches take turns: in a small one something is evicted all the time, and its archive
replaces series; a roomy one has to keep whatever was read from it, over all crashes.
"""

import errno
import os
import random
import shutil
import threading
import time

import crashes
import harness

MOMENTS = int(os.environ.get("TCIAFS_CRASH_MOMENTS", "12"))
SEED = int(os.environ.get("TCIAFS_CRASH_SEED", str(random.SystemRandom().randrange(1 << 30))))
SPEC = "C:patients=3,studies=1,series=3,images=8,size=384x384"
ROOMY = 512 << 20
# What a reader may meet: the object changed under it, the cap is full of series in use, the end.
EXPLAINED = {errno.ESTALE, errno.ENOSPC}
ENDED = {errno.ENOTCONN, errno.ECONNABORTED}


class Load:
    """Readers and walkers on a mount until it is killed."""

    def __init__(self, mount, allowed, chance):
        self.read = {}
        self.problems = []
        self._mount = mount
        self._allowed = allowed
        self._threads = [threading.Thread(target=self._run, args=(work, chance.randrange(1 << 30)))
                         for work in (self._read_one, self._read_one, self._read_one, self._walk)]
        for thread in self._threads:
            thread.start()

    def join(self):
        for thread in self._threads:
            thread.join(harness.WAIT_S)
            if thread.is_alive():
                self.problems.append("a reader hangs")

    def _run(self, work, seed):
        chance = random.Random(seed)
        while self._mount.process.poll() is None:
            try:
                work(chance)
            except OSError as failure:
                if failure.errno in ENDED or self._mount.process.poll() is not None:
                    return
                if failure.errno not in EXPLAINED:
                    self.problems.append(f"{failure}")
                    return

    def _read_one(self, chance):
        path = chance.choice(sorted(self._allowed))
        md5 = harness.md5_of(self._mount / path)
        if md5 not in self._allowed[path]:
            self.problems.append(f"wrong bytes in {path}")
        self.read[path] = md5

    def _walk(self, chance):
        os.stat(self._mount.path)
        for directory, _, files in os.walk(self._mount.path):
            for name in files:
                os.stat(os.path.join(directory, name))
            if chance.random() < 0.2:
                break
        time.sleep(0.01)


class Moments(crashes.CrashCase):
    def setUp(self):
        super().setUp()
        self.changing = self.archive("--synthetic", SPEC, "--zip-level", 1)
        self.lasting = self.archive("--synthetic", SPEC, "--zip-level", 1)
        self.allowed = {self.changing: {}, self.lasting: {}}
        self.learn_truth(self.changing)
        self.learn_truth(self.lasting)
        self.owed = {}  # by the roomy cache: all that was ever read from it
        self.chance = random.Random(SEED)

    def learn_truth(self, server):
        truth = {path: md5 for path, (md5, _) in server.truth("C").items()}
        for path, md5 in truth.items():
            self.allowed[server].setdefault(path, set()).add(md5)
        return truth

    def choose(self, roomy):
        """The archive of the cache whose turn it is."""
        self.faults.plan()
        self.cap = ROOMY if roomy else crashes.CAP
        self.cache = os.path.join(self.directory, "roomy" if roomy else "small")
        if roomy:
            if len(self.owed) > 0.7 * len(self.allowed[self.lasting]):
                shutil.rmtree(self.cache)
                self.owed = {}
            return self.lasting
        if self.chance.random() < 0.3:
            path = self.chance.choice(sorted(self.allowed[self.changing]))
            self.changing.mutate(replace_series=path.split("/")[3])
            self.learn_truth(self.changing)
        return self.changing

    def moment(self, roomy):
        server = self.choose(roomy)
        mount = self.faulty_mount(server, options=["--metadata-ttl", "1s"])
        load = Load(mount, self.allowed[server], self.chance)
        time.sleep(self.chance.uniform(0, 0.5) if self.chance.random() < 0.8 else 1.5)
        mount.kill()
        load.join()
        mount.end()
        self.assertEqual(load.problems, [], mount.log()[-3000:])
        self.check_cap()  # as the crash left it
        if roomy:
            self.owed.update(load.read)
        readable = self.check_survivors(server, self.allowed[server], self.owed if roomy else {})
        return len(load.read), len(readable)

    def test_random_moments(self):
        print(f"TCIAFS_CRASH_SEED={SEED} TCIAFS_CRASH_MOMENTS={MOMENTS}", flush=True)
        read = survived = kept = 0
        for number in range(MOMENTS):
            with self.subTest(moment=number, seed=SEED):
                roomy = number % 2 == 1
                in_moment, readable = self.moment(roomy)
                read += in_moment
                survived += readable
                kept += len(self.owed) if roomy else 0
        self.assertGreater(read, MOMENTS)
        self.assertGreater(survived, MOMENTS)
        print(f"{MOMENTS} moments: {read} instances read under load, {survived} readable without "
              f"the network afterwards, {kept} of them owed and kept", flush=True)
        self.cap = crashes.CAP
        self.cache = os.path.join(self.directory, "small")
        self.check_whole(self.changing, self.learn_truth(self.changing),
                         options=["--metadata-ttl", "1s"])


if __name__ == "__main__":
    harness.main()
