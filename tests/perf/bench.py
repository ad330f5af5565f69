# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Measures tciafs beside its limits, in one run: scripts/bench.

Only ratios of one run mean anything: the limit of each figure is taken in the same round, right
before it. A table goes to standard output, JSON with --json.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time

import cold_figures
import harness
import measuring
import scale_figures
import warm_figures

ABOUT = """\
figures:
  a  first touch: all instances of cached series, read once after a mount
  b  header scan: open, read 4 KiB, close; first and again
  c  hot: the second pass, from the kernel's page cache
  d  the same with 4 readers
  e  random 64 KiB preads and mmap in an instance of 512 MiB
  f  find over 20,000 directories and 200,000 entries; ls -l of 5,000 instances
  g  cold: an instance, a series, a study, at 30 ms and 50 MB/s, and unthrottled
  h  bulk: the first walk over 1,000 patients; a getSeries answer as large as NLST's
  i  scale: an archive of 700,000 series: disk, time to the first ls, memory

limits, taken in the same round:
  plain        the same files on the local disk
  floor        a FUSE file system that does nothing, and is never asked OPEN
  floor, OPEN  the same, asked OPEN and OPENDIR
  curl         the same answers from the same archive; "curl | unzip": unzipped as they arrive
  inflate      one core inflating and checking the same zip in memory; "inflate, then write": and
               writing the same files
"""
GROUPS = [("abcd", warm_figures.reading), ("e", warm_figures.large), ("f", warm_figures.walking),
          ("g", cold_figures.cold), ("h", scale_figures.bulk), ("i", scale_figures.scale)]
LETTERS = "".join(letters for letters, _ in GROUPS)


class Bench:
    """What all figures share."""

    def __init__(self, options, directory):
        self.directory = directory
        self.quick = options.quick
        self.rounds = options.rounds
        self.warms = not options.quick
        self._mount_options = [word for option in options.mount_option for word in option.split()]
        self._ending = []
        if options.quick:
            measuring.REPEAT_S = 0.01

    def archive(self, directory, *arguments):
        archive = harness.Archive(directory, *arguments)
        self._ending.append(archive.end)
        return archive

    def mount(self, mountpoint, cache, *archives, log_level="warning"):
        return harness.Mount(mountpoint, cache, "--min-free", "0", *self._mount_options,
                             servers=[archive.url for archive in archives], log_level=log_level)

    def end(self):
        for end in reversed(self._ending):
            end()
        self._ending.clear()


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")),
                     platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "load": os.getloadavg()[0], "unix_time": int(time.time())}


def report(options, rows, before):
    result = rows.result()
    about = machine()
    print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; "
          f"load {before['load']:.1f} before, {about['load']:.1f} after; {options.rounds} rounds\n")
    print(measuring.table_of(result), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": before, "quick": options.quick, "rounds": options.rounds,
                       "mount_options": options.mount_option, "rows": result}, file, indent=1)
            file.write("\n")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__, epilog=ABOUT,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="?", default=LETTERS, help=f"letters out of {LETTERS}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true",
                        help="small sizes: only shows that it works")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--mount-option", action="append", default=[], metavar="WORDS",
                        help="for the mount to be measured, as --mount-option='--downloads 4'")
    parser.add_argument("--directory", help="where caches and files go (4 GB) [a temporary one]")
    options = parser.parse_args(arguments)
    if set(options.figures) - set(LETTERS):
        parser.error(f"figures are letters out of {LETTERS}")
    return options


def main(arguments):
    options = parse(arguments)
    harness.require_fuse()
    before = machine()
    rows = measuring.Rows()
    directory = tempfile.mkdtemp(prefix="tciafs-bench-", dir=options.directory)
    try:
        for letters, measure in GROUPS:
            wanted = set(letters) & set(options.figures)
            if not wanted:
                continue
            print(f"measuring {''.join(sorted(wanted))}", file=sys.stderr, flush=True)
            bench = Bench(options, tempfile.mkdtemp(dir=directory))
            try:
                measure(bench, rows, wanted)
            finally:
                bench.end()
                shutil.rmtree(bench.directory, ignore_errors=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        report(options, rows, before)


if __name__ == "__main__":
    main(sys.argv[1:])
