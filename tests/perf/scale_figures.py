# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Figures h and i: names in bulk, and a catalog as large as all of TCIA."""

import json
import os
import threading
import time
import urllib.parse

import harness
import measuring

LATENCY_S = 0.030


def walk(path, depth):
    """Every name down to that depth; seconds."""
    begin = time.monotonic()
    figures = measuring.lines_of("find", path, "-maxdepth", depth)
    return time.monotonic() - begin, figures["operations"]


def _curl(archive, *questions):
    """Seconds that curl needs for these questions, one after the other on one connection."""
    words = []
    for name, parameters in questions:
        url = f"{archive.url}/services/v4/{name}"
        if parameters:
            url += "?" + urllib.parse.urlencode(parameters)
        words += ["-o", "/dev/null", url]
    begin = time.monotonic()
    sizes = harness.run("curl", "-sf", "-w", "%{json}\n", *words, timeout_s=600).stdout
    seconds = time.monotonic() - begin
    return seconds, sum(json.loads(line)["size_download"] for line in sizes.splitlines())


class PeakMemory:
    """The most anonymous memory of a process while the block runs, and the most in all."""

    def __init__(self, pid):
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.anonymous_mib = 0.0
        self.all_mib = 0.0

    def __enter__(self):
        measuring.forget_peak(self._pid)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self.all_mib = measuring.memory_mib(self._pid, "VmHWM")

    def _watch(self):
        ended = False
        while not ended:
            ended = self._ended.wait(0.01)  # looked at once more then, at least that once
            self.anonymous_mib = max(self.anonymous_mib,
                                     measuring.memory_mib(self._pid, "RssAnon"))


def _first_walk(bench, rows):
    patients = 1000 if not bench.quick else 20
    directory = os.path.join(bench.directory, "walk")
    archive = bench.archive(directory, "--keep-replies", "--latency-ms", int(LATENCY_S * 1000),
                            "--synthetic", f"BULK:patients={patients},series=2,images=10")
    bodies = [("getCollectionValues", {}), ("getPatient", {"Collection": "BULK"}),
              ("getSeries", {"Collection": "BULK"})]
    for number in range(bench.rounds):
        curl_s, _ = _curl(archive, *bodies)
        archive.reset()
        mount = bench.mount(os.path.join(directory, "mnt"), f"{directory}/cache{number}", archive)
        try:
            walk_s, names = walk(mount.path + "/BULK", 3)
            requests = archive.counters()
            if names != 1 + 4 * patients:
                raise AssertionError(f"{names} names")
        finally:
            mount.end()
        mount = bench.mount(os.path.join(directory, "mnt"), f"{directory}/cache{number}", archive)
        try:
            again_s, _ = walk(mount.path + "/BULK", 3)
        finally:
            mount.end()
        asked = requests["totals"]["metadata"]
        rows.add("h", f"first walk over {patients:,} patients: requests", "", asked,
                 [("value", "<=", 5)])
        rows.add("h", f"first walk over {patients:,} patients at 30 ms", "s", walk_s,
                 [("curl", "<=", 1.2)], curl=curl_s, **{"curl + the walk alone": curl_s + again_s})


def _bulk_answer(bench, rows):
    patients = 26_000 if not bench.quick else 30
    directory = os.path.join(bench.directory, "answer")
    archive = bench.archive(directory, "--keep-replies", "--synthetic",
                            f"NLST:patients={patients},studies=2,series=4,images=100")
    question = ("getSeries", {"Collection": "NLST"})
    _curl(archive, question)  # now the archive has it in memory
    for number in range(bench.rounds):
        curl_s, answer_bytes = _curl(archive, question)
        mount = bench.mount(os.path.join(directory, "mnt"), f"{directory}/cache{number}", archive,
                            log_level="info")
        try:
            names = sorted(os.listdir(mount / "NLST"))
            cpu_s = measuring.cpu_seconds(mount.process.pid)
            begin = time.monotonic()
            with PeakMemory(mount.process.pid) as peak:
                for name in names[:5]:
                    os.listdir(os.path.join(mount.path, "NLST", name))
                walked_s = time.monotonic() - begin
                harness.wait_for(lambda mount=mount: "series at once" in mount.log().replace(
                    "listing all its series at once", ""), "the bulk is in the catalog", 300)
            bulk_s = time.monotonic() - begin
            cpu_s = measuring.cpu_seconds(mount.process.pid) - cpu_s
        finally:
            mount.end()
        megabytes = answer_bytes / 1e6
        rows.add("h", f"getSeries answer of {megabytes:,.0f} MB: into the catalog", "MB/s",
                 megabytes / bulk_s, None, curl=megabytes / curl_s)
        rows.add("h", "the same: until the walk goes on", "s", walked_s, None, curl=curl_s)
        rows.add("h", "the same: per second of the daemon's CPU", "MB/s", megabytes / cpu_s)
        rows.add("h", "the same: peak memory", "MiB", peak.all_mib, [("value", "<=", 96)],
                 anonymous=peak.anonymous_mib)


def bulk(bench, rows, _figures):
    _first_walk(bench, rows)
    _bulk_answer(bench, rows)


def scale(bench, rows, _figures):
    """700,000 series in 14 collections."""
    collections, patients = (14, 6250) if not bench.quick else (2, 20)
    series = collections * patients * 8
    directory = os.path.join(bench.directory, "scale")
    cache = os.path.join(directory, "cache")
    arguments = []
    for number in range(collections):
        arguments += ["--synthetic",
                      f"C{number:02}:patients={patients},studies=2,series=4,images=9"]
    archive = bench.archive(directory, *arguments)
    mount = bench.mount(os.path.join(directory, "mnt"), cache, archive)
    try:
        fill_s, names = walk(mount.path, 4)
        if names != 1 + collections * (1 + patients * 11):
            raise AssertionError(f"{names} names")
    finally:
        mount.end()
    rows.add("i", f"first walk over {series:,} series", "names/s", names / fill_s)
    disk = _catalog_bytes(cache)
    rows.add("i", "catalog on disk", "bytes/series", disk / series, [("value", "<=", 700)])
    for _ in range(bench.rounds):
        begin = time.monotonic()
        mount = bench.mount(os.path.join(directory, "mnt"), cache, archive)
        try:
            mounted = time.monotonic()
            os.listdir(mount.path)
            listed = time.monotonic()
            memory = measuring.memory_mib(mount.process.pid, "VmRSS")
            anonymous = measuring.memory_mib(mount.process.pid, "RssAnon")
            again_s, _ = walk(mount.path, 4)
            walked = measuring.memory_mib(mount.process.pid, "VmRSS")
            walked_anonymous = measuring.memory_mib(mount.process.pid, "RssAnon")
        finally:
            mount.end()
        rows.add("i", "first ls / after mount", "ms", 1000 * (listed - mounted),
                 [("value", "<=", 100)])
        rows.add("i", "from command to first ls /", "ms", 1000 * (listed - begin))
        rows.add("i", "resident after mount", "MiB", memory, [("value", "<=", 64)],
                 anonymous=anonymous)
        rows.add("i", "walk after a remount", "names/s", names / again_s)
        rows.add("i", "resident after that walk", "MiB", walked, None, anonymous=walked_anonymous)


def _catalog_bytes(cache):
    """What the file takes on disk; the map may be larger."""
    return sum(os.stat(os.path.join(path, name)).st_blocks * 512
               for path, _, names in os.walk(cache) if "catalog" in os.path.relpath(path, cache)
               for name in names)
