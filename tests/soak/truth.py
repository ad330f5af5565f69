# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What the archives hold, as files that the soak's workers compare with.

Every edition of every instance is a file NAME.EDITION; index.json lists the instances. The main
process writes, workers read. An edition appears here a moment after the archive begins to serve it,
so a worker that sees unknown bytes waits a while for a new edition before it calls them wrong.
"""

import json
import os
import time
import urllib.parse
import urllib.request

NEW_EDITION_WAIT_S = 15


class TruthWriter:
    def __init__(self, directory):
        self.directory = directory
        self.files = {}       # path -> [sop, current edition]
        os.makedirs(directory, exist_ok=True)

    def learn(self, archive, collection):
        """All instances of a collection that are not known yet."""
        fresh = [path for path in archive.truth(collection) if path not in self.files]
        for path in fresh:
            sop = os.path.basename(path).removesuffix(".dcm")
            self._store(archive, sop, 0)
            self.files[path] = [sop, 0]
        self._publish()
        return fresh

    def replaced(self, archive, series_path):
        """Call right after the archive replaced the series."""
        for path, entry in self.files.items():
            if path.startswith(series_path + "/"):
                entry[1] += 1
                self._store(archive, entry[0], entry[1])

    def _store(self, archive, sop, edition):
        query = urllib.parse.urlencode({"sop": sop})
        with urllib.request.urlopen(f"{archive.control_url}instance?{query}", timeout=30) as answer:
            content = answer.read()
        name = os.path.join(self.directory, f"{sop}.{edition}")
        with open(name + ".new", "wb") as file:
            file.write(content)
        os.rename(name + ".new", name)

    def _publish(self):
        name = os.path.join(self.directory, "index.json")
        with open(name + ".new", "w", encoding="utf-8") as file:
            json.dump({path: entry[0] for path, entry in self.files.items()}, file)
        os.rename(name + ".new", name)

    def current(self, path):
        sop, edition = self.files[path]
        with open(os.path.join(self.directory, f"{sop}.{edition}"), "rb") as file:
            return file.read()


class TruthReader:
    def __init__(self, directory):
        self.directory = directory
        self._read_at = None
        self.refresh()

    def refresh(self):
        """Reads the index again if it changed."""
        name = os.path.join(self.directory, "index.json")
        changed = os.stat(name).st_mtime_ns
        if changed == self._read_at:
            return
        self._read_at = changed
        with open(name, encoding="utf-8") as file:
            self.sops = json.load(file)
        self.paths = sorted(self.sops)
        self.series = {}
        self.children = {"": set()}
        for path in self.paths:
            self.series.setdefault(os.path.dirname(path), []).append(path)
            while path:
                parent, name = os.path.split(path)
                self.children.setdefault(parent, set()).add(name)
                path = parent

    def editions(self, path):
        """Names of files with the bytes the archive has had for this instance, oldest first."""
        found = []
        while True:
            name = os.path.join(self.directory, f"{self.sops[path]}.{len(found)}")
            if not os.path.exists(name):
                return found
            found.append(name)

    def sizes(self, path):
        return {os.path.getsize(name) for name in self.editions(path)}

    def matching(self, path, fits):
        """Editions of which fits(bytes) holds; waits for a new one before it answers with none."""
        deadline = time.monotonic() + NEW_EDITION_WAIT_S
        while True:
            found = []
            for name in self.editions(path):
                with open(name, "rb") as file:
                    if fits(file.read()):
                        found.append(int(name.rsplit(".", 1)[1]))
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.2)
