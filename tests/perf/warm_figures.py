# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Figures a to f: what is cached, read and walked, against the same files without a network.

A session is a fresh mount: the kernel knows nothing of it, while all files behind it are in the
page cache. Plain files and floors take turns with the mount in every round.
"""

import os
import shutil

import harness
import measuring
from measuring import bytes_per_s, operations_per_s


class Tree:
    """A cached archive, its files once more as plain ones, and a pack of them for the floor."""

    def __init__(self, bench, name, collections, with_bytes=True):
        self.directory = os.path.join(bench.directory, name)
        self.plain = os.path.join(self.directory, "plain")
        self.cache = os.path.join(self.directory, "cache")
        self.manifest = os.path.join(self.directory, "manifest")
        self.pack = os.path.join(self.directory, "pack")
        self._turn = 0
        self._bench = bench
        self._archive = bench.archive(self.directory, "--zip-level", 1, *collections)
        mount = self.tciafs()
        try:
            self.paths = harness.walk_files(mount.path)
            self._copy(mount.path, with_bytes)
            self.directories = {path: [name for name, _, files in os.walk(mount.path + "/" + path)
                                       if files] for path in os.listdir(mount.path)}
        finally:
            mount.end()

    def mountpoint(self, name):
        path = os.path.join(self.directory, "on-" + name.replace(", ", "-"))
        os.makedirs(path, exist_ok=True)
        return path

    def tciafs(self):
        return self._bench.mount(self.mountpoint("tciafs"), self.cache, self._archive)

    def _copy(self, source, with_bytes):
        """Without bytes the copies have the right lengths and are otherwise holes."""
        offset = 0
        with open(self.pack, "wb") as pack, open(self.manifest, "w", encoding="utf-8") as manifest:
            for path in self.paths:
                copy = os.path.join(self.plain, path)
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                if with_bytes:
                    shutil.copyfile(os.path.join(source, path), copy)
                    with open(copy, "rb") as file:
                        shutil.copyfileobj(file, pack, measuring.MIB)
                size = os.stat(os.path.join(source, path)).st_size
                if not with_bytes:
                    with open(copy, "wb") as file:
                        file.truncate(size)
                manifest.write(f"{path}\t{size}\t{offset}\n")
                offset += size if with_bytes else 0

    def list_of(self, collection):
        """A file that lists the paths of one collection."""
        name = os.path.join(self.directory, "list-" + collection)
        with open(name, "w", encoding="utf-8") as file:
            file.writelines(path + "\n" for path in self.paths if path.startswith(collection + "/"))
        return name

    def sessions(self, work):
        """{target's name: what `work` measured on a fresh mount of it}."""
        targets = [(target.name, lambda target=target: target(self))
                   for target in (measuring.Plain, measuring.FloorAskingOpen, measuring.Floor)]
        targets.append(("tciafs", self.tciafs))
        self._turn += 1
        first = self._turn % len(targets)
        return {name: self._session(start, work)
                for name, start in targets[first:] + targets[:first]}

    def _session(self, start, work):
        if self._bench.warms:
            measuring.warm(self.plain, self.pack, self.cache)
        target = start()
        try:
            return work(target.path)
        finally:
            target.end()


def _add(rows, figure, name, unit, measured, key, scale=1.0, goals=None):
    limits = {target: figures[key] / scale for target, figures in measured.items()
              if target != "tciafs"}
    rows.add(figure, name, unit, measured["tciafs"][key] / scale, goals, **limits)


def _twice(mode, rate, list_path, threads=1):
    """Once on the fresh mount and again; the second time everything is repeated for a while."""
    return lambda root: {
        "first": rate(measuring.loops(mode, root, list_path, threads)),
        "again": rate(measuring.loops(mode, root, list_path, threads, measuring.REPEAT_S))}


def reading(bench, rows, figures):
    """a to d."""
    series, images, side = (8, 50, 512) if not bench.quick else (2, 5, 128)
    tree = Tree(bench, "reading", ["--synthetic", f"CT:patients={series // 2},series=2,"
                                   f"images={images},size={side}x{side}"])
    paths = tree.list_of("CT")
    for _ in range(bench.rounds):
        if set("ac") & figures:
            measured = tree.sessions(_twice("read", bytes_per_s, paths))
            _add(rows, "a", "first touch, 1 reader", "MB/s", measured, "first", 1e6,
                 [("floor", ">=", 0.9)])
            _add(rows, "c", "hot, second pass", "MB/s", measured, "again", 1e6,
                 [("plain", ">=", 0.6)])
        if "b" in figures:
            measured = tree.sessions(_twice("head", operations_per_s, paths))
            _add(rows, "b", "header scan, first", "files/s", measured, "first", 1,
                 [("floor", ">=", 0.8)])
            _add(rows, "b", "header scan, again", "files/s", measured, "again", 1,
                 [("plain", ">=", 0.6)])
        if "d" in figures:
            measured = tree.sessions(_twice("read", bytes_per_s, paths, threads=4))
            _add(rows, "d", "first touch, 4 readers", "MB/s", measured, "first", 1e6)
            _add(rows, "d", "hot, 4 readers", "MB/s", measured, "again", 1e6)


def large(bench, rows, _figures):
    """e: one instance of 512 MiB."""
    side = 16384 if not bench.quick else 1024
    tree = Tree(bench, "large", ["--synthetic", f"BIG:patients=1,images=1,size={side}x{side}"])
    paths = tree.list_of("BIG")
    for _ in range(bench.rounds):
        measured = tree.sessions(_twice("random", bytes_per_s, paths))
        _add(rows, "e", "random 64 KiB preads, first", "MB/s", measured, "first", 1e6)
        _add(rows, "e", "random 64 KiB preads, again", "MB/s", measured, "again", 1e6)
        measured = tree.sessions(_twice("map", bytes_per_s, paths))
        _add(rows, "e", "mmap, first", "MB/s", measured, "first", 1e6)
        _add(rows, "e", "mmap, again", "MB/s", measured, "again", 1e6)


def walking(bench, rows, _figures):
    """f: 20,000 directories with 180,000 instances, and one directory of 5,000."""
    patients, many = (1000, 5000) if not bench.quick else (5, 100)
    tree = Tree(bench, "walking", [
        "--synthetic", f"WIDE:patients={patients},series=18,images=10,size=16x16",
        "--synthetic", f"MANY:patients=1,images={many},size=16x16"], with_bytes=False)
    inner = os.path.relpath(tree.directories["MANY"][0], tree.mountpoint("tciafs"))

    def again(*command):
        return operations_per_s(measuring.lines_of(*command, seconds_min=measuring.REPEAT_S))

    def work(root):
        find, ls = ("find", root + "/WIDE"), ("ls", "-l", os.path.join(root, inner))
        return {"first": operations_per_s(measuring.lines_of(*find)),
                "again": again(*find),
                "ls first": operations_per_s(measuring.lines_of(*ls)),
                "ls again": again(*ls)}
    for _ in range(bench.rounds):
        measured = tree.sessions(work)
        _add(rows, "f", "find, first", "entries/s", measured, "first", 1,
             [("value", ">=", 50_000)])
        _add(rows, "f", "find, repeated", "entries/s", measured, "again", 1,
             [("plain", ">=", 1.0)])
        _add(rows, "f", f"ls -l of {many:,}, first", "entries/s", measured, "ls first")
        _add(rows, "f", f"ls -l of {many:,}, repeated", "entries/s", measured, "ls again")
