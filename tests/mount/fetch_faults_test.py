# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs fetch against an archive that does everything wrong, one way for each series.

What it calls verified must be readable without the archive, all of it and with the right bytes; of
the rest it names what is missing. Its exit status says which of the two it was.
"""

import os
import unittest

import harness

ZIPS = "*/getImage*"
SINGLES = "*/getSingleImage*"
IMAGES = 4
# A way of going wrong, by its parameters; what the single images can mend, and what they cannot.
DAMAGES = {
    "drop_first": {"action": "drop_entries", "k": 0},
    "drop_last": {"action": "drop_entries", "k": 3},
    "drop_most": {"action": "drop_entries", "k": [0, 1, 2]},
    "drop_all": {"action": "license_only"},
    "empty_zip": {"action": "empty_zip"},
    "empty_answer": {"action": "empty"},
    "html": {"action": "html"},
    "corrupt": {"action": "corrupt", "k": 1},
    "wrong_crc": {"action": "wrong_crc", "k": 1},
    "wrong_md5": {"action": "wrong_md5", "k": 2},
    "short_last": {"action": "short_entry", "k": -1, "n": 500},
    "short_entry": {"action": "short_entry", "k": 1, "n": 500},
    "duplicate": {"action": "duplicate_entry", "k": 1},
    "not_dicom": {"action": "not_dicom", "k": 1},
    "foreign": {"action": "foreign_instance"},
    "evil_names": {"action": "evil_names"},
    "no_md5": {"action": "no_md5"},
    "reset": {"action": "reset_after_bytes", "n": 2500},
    "abort": {"action": "abort_after_bytes", "n": 2500},
    "cut": {"action": "close_after_bytes", "n": 2500},
    "cut_at_once": {"action": "close_after_bytes", "n": 10},
    "unavailable": {"action": "status", "code": 503},
    "not_found": {"action": "status", "code": 404},
    "moved": {"action": "status", "code": 301, "headers": {"Location": "http://127.0.0.1:1/"}},
}


# Where a request that is answered so ends the download: nothing of it came.
REFUSED = {"not_found", "moved", "unavailable", "html", "empty_answer", "cut_at_once"}
# What is made up for without another request for images.
HARMLESS = {"duplicate", "evil_names", "no_md5", "foreign"}


class FetchFaults(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", f"C:patients=1,studies=1,series={len(DAMAGES)},"
                                                  f"images={IMAGES},size=32x32")
        self.mounted = self.mount(self.server, options=["--downloads", 16, "--connections", 24])
        self.truth = self.server.truth("C")
        series = sorted({os.path.dirname(path) for path in self.truth})
        self.series = dict(zip(DAMAGES, series))

    def fetch(self, *rows):
        """Those that were not verified, after a look at what was."""
        self.server.plan(*rows)
        outcome = harness.command("fetch", "--jobs", 16, self.mounted / "C", timeout_s=200)
        named = {name for name, path in self.series.items()
                 if f"tciafs: /{path}: " in outcome.stderr}
        summary = outcome.stdout.splitlines()[-1]
        self.assertIn(f"{len(DAMAGES) - len(named)} of {len(DAMAGES)} series verified", summary)
        self.server.plan({"endpoint": "*Image*", "times": -1, "action": "status", "code": 500})
        for path, (md5, _) in self.truth.items():
            if os.path.dirname(path) not in {self.series[name] for name in named}:
                self.assertEqual(harness.outcome_of_reading(self.mounted / path), md5, path)
        return named, outcome

    def test_what_is_called_verified_is(self):
        damages = [{"endpoint": ZIPS, "times": -1, "match":
                    {"SeriesInstanceUID": os.path.basename(self.series[name])}, **damage}
                   for name, damage in DAMAGES.items()]
        no_singles = {"endpoint": SINGLES, "times": -1, "action": "status", "code": 500}
        failed, outcome = self.fetch(*damages, no_singles)
        self.assertEqual(failed, DAMAGES.keys() - HARMLESS, outcome.stderr)
        self.assertEqual(outcome.returncode, 4, outcome)

        failed, outcome = self.fetch(*damages)
        self.assertEqual(failed, REFUSED, outcome.stderr)
        self.assertEqual(outcome.returncode, 4, outcome)

        failed, outcome = self.fetch()
        self.assertEqual((failed, outcome.returncode), (set(), 0), outcome.stderr)


if __name__ == "__main__":
    harness.main()
