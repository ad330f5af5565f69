# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Figure g: what is not cached, against curl of the same zips and the inflater alone.

The archive keeps the zips it made in memory, so that what is measured is not their making. Each run
has a new cache directory, and none is deleted before the end: ext4 is slow at making files for a
few seconds after others were deleted.
"""

import os
import struct
import tempfile
import threading
import time
import urllib.parse
import zipfile

import harness
import measuring
from measuring import MIB, bytes_per_s

LATENCY_S = 0.030
LINE_BYTES_PER_S = 50_000_000


class ColdArchive:
    """One collection, COLD, its zips made and kept."""

    def __init__(self, bench, name, series, images, side, *arguments):
        self._bench = bench
        self._runs = 0
        self.directory = os.path.join(bench.directory, name)
        self.mountpoint = os.path.join(self.directory, "mnt")
        self._zip = os.path.join(self.directory, "zip")
        self._sample = os.path.join(self.directory, "sample")
        self.archive = bench.archive(
            self.directory, "--keep-replies", "--synthetic",
            f"COLD:patients=1,series={series},images={images},size={side}x{side}", *arguments)
        with Cold(self) as cold:
            self.series = [os.path.basename(path) for path in cold.series]
            for path in cold.series:
                cold.read(path)
        for series_uid in self.series:
            harness.run("curl", "-sf", "-o", self._sample, self.url(series_uid), timeout_s=600)
        self._offsets = offsets_of(self._sample)
        self.zip_bytes = os.stat(self._sample).st_size

    def url(self, series_uid):
        """What the mount asks for, so that the zip is the one already made."""
        query = urllib.parse.urlencode({"SeriesInstanceUID": series_uid, "IncludeMD5": "Yes"})
        return f"{self.archive.url}/services/v4/getImage?{query}"

    def mount(self):
        self._runs += 1
        cache = os.path.join(self.directory, f"cache{self._runs}")
        return self._bench.mount(self.mountpoint, cache, self.archive)

    def curl(self, *series):
        """Seconds for the zips, one after the other on one connection."""
        return self._curl(series)[0]

    def first_byte_s(self, series_uid):
        return float(self._curl([series_uid])[1].split()[0])

    def _curl(self, series):
        words = []
        for series_uid in series:
            words += ["-o", self._zip, self.url(series_uid)]
        return _timed("curl", "-sf", "-w", "%{time_starttransfer}\n", *words)

    def curl_and_unzip(self, series_uid):
        """Seconds until the files are there, unzipped as the zip arrives."""
        out = tempfile.mkdtemp(dir=self.directory)
        return _timed("sh", "-c", 'curl -sf "$1" | bsdtar -xf - -C "$2"', "sh",
                      self.url(series_uid), out)[0]

    def inflate(self):
        """What one core needs to inflate and check such a zip."""
        return measuring.inflate(self._sample, self._offsets)


class Cold:
    """A mount with an empty cache, its names known."""

    def __init__(self, cold_archive):
        self._archive = cold_archive

    def __enter__(self):
        self.mount = self._archive.mount()
        try:
            self.series = [path for path, names, _ in os.walk(self.mount.path) if not names]
            self.series.sort()
            self._names = {path: sorted(os.listdir(path)) for path in self.series}
        except BaseException:
            self.mount.end()
            raise
        return self

    def __exit__(self, *_):
        self.mount.end()

    def read(self, series):
        """(seconds until the first instance was read, until the last, bytes)."""
        begin = time.monotonic()
        first_s, total = None, 0
        for name in self._names[series]:
            with open(os.path.join(series, name), "rb", buffering=0) as file:
                while piece := file.read(MIB):
                    total += len(piece)
            first_s = first_s or time.monotonic() - begin
        return first_s, time.monotonic() - begin, total

    def images(self, series):
        return len(self._names[series])

    def cpu_s(self):
        return measuring.cpu_seconds(self.mount.process.pid)


def _timed(*command):
    """Seconds, and what it printed."""
    begin = time.monotonic()
    done = harness.run(*command, timeout_s=600)
    return time.monotonic() - begin, done.stdout


def write_rate(directory, files, file_bytes):
    """Bytes per second that one core writes to that many new files."""
    out, piece = tempfile.mkdtemp(dir=directory), os.urandom(file_bytes)
    begin = time.monotonic()
    for number in range(files):
        with open(os.path.join(out, str(number)), "wb", buffering=0) as file:
            file.write(piece)
    return files * file_bytes / (time.monotonic() - begin)


def offsets_of(path):
    """A file that lists where the members' compressed data begin."""
    name = path + "-offsets"
    with zipfile.ZipFile(path) as archive, open(path, "rb") as raw, \
            open(name, "w", encoding="ascii") as out:
        for member in archive.infolist():
            raw.seek(member.header_offset + 26)
            name_bytes, extra_bytes = struct.unpack("<HH", raw.read(4))
            out.write(f"{member.header_offset + 30 + name_bytes + extra_bytes}\n")
    return name


def over_a_line(bench, rows):
    """30 ms away, at 50 MB/s."""
    series, images, side = (8, 50, 512) if not bench.quick else (2, 4, 64)
    cold = ColdArchive(bench, "line", series, images, side, "--zip-level", 6, "--latency-ms",
                       int(LATENCY_S * 1000), "--bandwidth", LINE_BYTES_PER_S)
    for number in range(bench.rounds):
        uid = cold.series[number % len(cold.series)]
        curl_s, unzip_s = cold.curl(uid), cold.curl_and_unzip(uid)
        first_byte_s = cold.first_byte_s(uid)
        study_s = cold.curl(*cold.series)
        with Cold(cold) as mounted:
            path = next(path for path in mounted.series if path.endswith(uid))
            first_s, all_s, _ = mounted.read(path)
            transfer_s = cold.zip_bytes / mounted.images(path) / LINE_BYTES_PER_S
        rows.add("g", "30 ms, 50 MB/s: first instance", "s", first_s,
                 [("curl's first byte + 3 transfers", "<=", 1.0)],
                 **{"curl's first byte + 3 transfers": first_byte_s + 3 * transfer_s})
        rows.add("g", "30 ms, 50 MB/s: whole series", "s", all_s, [("curl", "<=", 1.05)],
                 curl=curl_s, **{"curl | unzip": unzip_s})
        with Cold(cold) as mounted:
            begin = time.monotonic()
            for path in mounted.series:
                mounted.read(path)
            rows.add("g", f"30 ms, 50 MB/s: study of {series} series", "s",
                     time.monotonic() - begin, [("curl", "<=", 1.05)], curl=study_s)


def unthrottled(bench, rows):
    """As fast as the archive gives: then inflating is the limit."""
    images, side = (200, 512) if not bench.quick else (4, 64)
    cold = ColdArchive(bench, "near", 2, images, side, "--zip-level", 6)
    for _ in range(bench.rounds):
        uid = cold.series[0]
        inflated = cold.inflate()
        inflate = bytes_per_s(inflated) / 1e6
        curl_s, unzip_s = cold.curl(uid), cold.curl_and_unzip(uid)
        with Cold(cold) as mounted:
            cpu_s = mounted.cpu_s()
            _, all_s, total = mounted.read(mounted.series[0])
            cpu_s = mounted.cpu_s() - cpu_s
        write = write_rate(cold.directory, images, total // images) / 1e6
        rows.add("g", "unthrottled: whole series", "MB/s", total / all_s / 1e6,
                 [("inflate", ">=", 0.8), ("curl | unzip", ">=", 1.0)], inflate=inflate,
                 curl=total / curl_s / 1e6, **{
                     "inflate, then write": 1 / (1 / inflate + 1 / write),
                     "curl | unzip": total / unzip_s / 1e6})
        rows.add("g", "unthrottled: CPU of the daemon", "s/GB", cpu_s / total * 1e9, None,
                 inflate=inflated["cpu_seconds"] / inflated["bytes"] * 1e9)
        with Cold(cold) as mounted:
            cpu_s = mounted.cpu_s()
            readers = [threading.Thread(target=mounted.read, args=(path,))
                       for path in mounted.series]
            begin = time.monotonic()
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            both_s = time.monotonic() - begin
            cpu_s = mounted.cpu_s() - cpu_s
        rows.add("g", "unthrottled: two series at once", "MB/s", 2 * total / both_s / 1e6, None,
                 inflate=inflate)
        rows.add("g", "unthrottled: cores busy with two", "cores", cpu_s / both_s)


def cold(bench, rows, _figures):
    over_a_line(bench, rows)
    unthrottled(bench, rows)
