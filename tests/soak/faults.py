# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The faults of the soak's servers: what is done, and which errors it excuses.

A *blip* hits one or a few requests, and tciafs must make it good: it excuses nothing. An *outage*
lasts (but a zip that inflates without end is met once and given up), and excuses its errors for
readers of what is not in the cache. Listings are known and must go on being answered: errors of
walkers are excused only by lists that are empty time and again.
"""

import signal

from journal import READS

IMAGES = ("*/getImage*", "*/getSingleImage")
LISTS = ("*/getCollectionValues", "*/getPatient*", "*/getSeries*", "*DrillDown*", "*/getSOP*")
FAILED = {"EIO"}
SILENT = {"ETIMEDOUT", "EIO"}


def row(endpoint, action, times=1, **more):
    return {"endpoint": endpoint, "action": action, "times": times, **more}


def _images(action, times=1, **more):
    return [row(IMAGES[0], action, times, **more)]


BLIPS = {
    "zip: damaged data": lambda c: _images("corrupt", k=c.randrange(4)),
    "zip: wrong checksum": lambda c: _images("wrong_crc", k=c.randrange(4)),
    "zip: wrong md5": lambda c: _images("wrong_md5", k=c.randrange(4)),
    "zip: entries left out": lambda c: _images("drop_entries", k=sorted({c.randrange(6), 0})),
    "zip: last entry cut": lambda c: _images("short_entry", k=-1, n=c.randrange(9000)),
    "zip: entry twice": lambda c: _images("duplicate_entry", k=c.randrange(3)),
    "zip: no DICOM": lambda c: _images("not_dicom", k=c.randrange(3)),
    "zip: foreign instance": lambda c: _images("foreign_instance"),
    "zip: evil names": lambda c: _images("evil_names"),
    "zip: licence only": lambda c: _images("license_only"),
    "zip: empty": lambda c: _images("empty_zip"),
    "zip: no md5 list": lambda c: _images("no_md5"),
    "images: reset": lambda c: _images("reset_after_bytes", n=c.randrange(30000)),
    "images: aborted": lambda c: _images("abort_after_bytes", n=c.randrange(30000)),
    "images: ended early": lambda c: _images("close_after_bytes", n=c.randrange(30000)),
    "images: 503 once": lambda c: _images("status", code=503, headers={"Retry-After": "1"}),
    "images: html": lambda c: _images("html"),
    "images: nothing": lambda c: _images("empty"),
    "images: late": lambda c: _images("latency_ms", 3, n=1500),
    "lists: reset": lambda c: [row(e, "reset_after_bytes", 1, n=c.randrange(3000)) for e in LISTS],
    "lists: cut": lambda c: [row(e, "truncate_json_at", 1, n=c.randrange(1, 3000)) for e in LISTS],
    "lists: nothing": lambda c: [row(e, "empty", 2) for e in LISTS],
    "lists: html": lambda c: [row(e, "html", 2) for e in LISTS],
    "lists: 500": lambda c: [row(e, "status", 3, code=500) for e in LISTS],
    "lists: stalled": lambda c: [row(e, "stall_after_bytes", 2, n=c.randrange(500)) for e in LISTS],
    "lists: late": lambda c: [row(e, "latency_ms", 5, n=2000) for e in LISTS],
    "tokens: all expired": lambda c: [row("*", "expire_tokens", 2)],
}


class Outage:
    """Rows of the plan while it lasts, and the errors it excuses."""

    def __init__(self, name, errors, rows=None, leaves_out=False, operations=READS):
        self.name = name
        self.errors = errors
        self.rows = rows or (lambda chance: [])
        self.operations = operations  # None: all
        self.leaves_out = leaves_out  # what was listed is not delivered: remembered for longer


def _all_images(action, **more):
    return [row(endpoint, action, -1, **more) for endpoint in IMAGES]


def _everything(action, **more):
    return [row("*", action, -1, **more)]


DOWN = Outage("server down", FAILED)
FROZEN = Outage("server frozen", SILENT)
OUTAGES = [
    DOWN,
    FROZEN,
    Outage("images stall", SILENT, lambda c: _all_images("stall_before_head")),
    Outage("images stall within", SILENT,
           lambda c: _all_images("stall_after_bytes", n=c.randrange(20000))),
    Outage("images: 500", FAILED, lambda c: _all_images("status", code=500)),
    Outage("images: 503", FAILED, lambda c: _all_images("status", code=503)),
    Outage("images: reset", FAILED, lambda c: _all_images("reset_after_bytes", n=c.randrange(9000))),
    Outage("images: nothing", FAILED, lambda c: _all_images("empty"), leaves_out=True),
    Outage("images: html", FAILED, lambda c: _all_images("html"), leaves_out=True),
    Outage("zips damaged", FAILED, lambda c: _all_images("corrupt", k=[0, 3]), leaves_out=True),
    Outage("zips short", FAILED, lambda c: _all_images("drop_entries", k=[0, 2]), leaves_out=True),
    Outage("zip: bomb", FAILED, lambda c: _images("bomb", k=c.randrange(3), n=300 << 20)),
    Outage("images slow", set(), lambda c: _all_images("bandwidth_bytes_per_s", n=300_000)),
    Outage("everything: 503", FAILED, lambda c: _everything("status", code=503)),
    Outage("everything: 502 as html", FAILED, lambda c: _everything("html", code=502)),
    Outage("everything stalls", SILENT, lambda c: _everything("stall_before_head")),
    # A server that does not tell its collections counts as one that does not answer: what is not
    # cached is refused for that time.
    Outage("lists: 500", {"EIO"}, lambda c: [row(e, "status", -1, code=500) for e in LISTS]),
    # A second answer confirms the first: then the names are gone until the archive lists them again.
    Outage("lists: nothing", {"ENOENT", "ESTALE"}, lambda c: [row(e, "empty", -1) for e in LISTS],
           operations=None),
    Outage("lists stall", {"EIO"}, lambda c: [row(e, "stall_before_head", -1) for e in LISTS]),
]


class FaultyServer:
    """A test archive with what is wrong with it now, and what was ever changed in it."""

    def __init__(self, name, archive, collections, plan_file):
        self.name = name
        self.archive = archive
        self.collections = collections
        self.changes = []
        self.requests = {"metadata": 0, "images": 0}
        self._plan_file = plan_file
        self._frozen = False
        self.outage = None

    def blip(self, rows):
        if self.outage is None:
            self.archive.plan(*rows)

    def begin(self, outage, chance):
        self.outage = outage
        if outage is DOWN:
            self.count()
            self.archive.stop()
        elif outage is FROZEN:
            self.freeze()
        else:
            self.archive.plan(*outage.rows(chance))

    def end(self):
        if self.outage is DOWN:
            self._start_again()
        elif self.outage is FROZEN:
            self.thaw()
        else:
            self.archive.plan()
        self.outage = None

    def freeze(self):
        self.archive.process.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self):
        if self._frozen:
            self.archive.process.send_signal(signal.SIGCONT)
            self._frozen = False

    def _start_again(self):
        """Refuses everybody until it has again become what it was."""
        with open(self._plan_file, "w", encoding="utf-8") as plan:
            plan.write('[{"endpoint": "*", "times": -1, "action": "status", "code": 503}]')
        self.archive.restart()
        for change in self.changes:
            self.archive.mutate(**change)
        self.archive.plan()

    def mutate(self, **change):
        self.archive.mutate(**change)
        self.changes.append(change)

    def count(self):
        """Adds up requests over restarts; the last thing before the archive ends."""
        for kind in self.requests:
            self.requests[kind] += self.archive.requests(kind)
