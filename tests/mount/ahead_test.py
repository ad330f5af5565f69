# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The next series of a study is on its way for who reads one after the other, and for nobody else.

Each download of a series is one request for images at the archive.
"""

import json
import os

import harness

SERIES = 6
IMAGES = 12
HEAD_BYTES = 4096


class Ahead(harness.MountCase):
    def setUp(self):
        super().setUp()
        # Half a MiB each, of which the kernel's own reading ahead does not reach the end.
        self.server = self.archive(
            "--synthetic", f"STUDY:patients=1,studies=1,series={SERIES},images={IMAGES},"
            "size=512x512")

    def series_of(self, mount):
        found = [path for path, names, _ in os.walk(mount / "STUDY") if not names]
        self.assertEqual(len(found), SERIES)
        return sorted(found)

    def read(self, series, size_bytes=-1):
        for name in sorted(os.listdir(series)):
            with open(os.path.join(series, name), "rb", buffering=0) as file:
                content = file.readall() if size_bytes < 0 else file.read(size_bytes)
                self.assertTrue(content)

    def wait_until_idle(self, mount):
        """Nothing is under way, so nothing more is going to be asked for."""
        def idle():
            with open(mount / ".tcia/status.json", encoding="utf-8") as status:
                return not json.load(status)["downloads"]
        harness.wait_for(idle, "all downloads have ended")

    def expect_downloads(self, mount, count):
        harness.wait_for(lambda: self.server.requests("images") >= count, f"{count} downloads")
        self.wait_until_idle(mount)
        self.assertEqual(self.server.requests("images"), count, self.server.counters())

    def test_the_third_series_in_a_row_is_there_before_it_is_asked_for(self):
        mount = self.mount(self.server)
        series = self.series_of(mount)
        self.read(series[0])
        self.expect_downloads(mount, 1)
        self.read(series[1])
        self.expect_downloads(mount, 3)
        self.read(series[2])
        self.expect_downloads(mount, 4)
        self.read(series[3])
        self.expect_downloads(mount, 5)
        for path in series:
            self.read(path)
        self.expect_downloads(mount, SERIES)

    def test_not_for_who_reads_heads(self):
        mount = self.mount(self.server)
        for path in self.series_of(mount)[:4]:
            self.read(path, HEAD_BYTES)
        self.expect_downloads(mount, 4)

    def test_not_for_who_reads_series_here_and_there(self):
        mount = self.mount(self.server)
        series = self.series_of(mount)
        for path in series[0], series[2], series[4], series[3]:
            self.read(path)
        self.expect_downloads(mount, 4)

    def test_not_if_something_had_to_make_room(self):
        cap_bytes = 16 << 20  # two series of 6 MiB, and not a third
        mount = self.mount(self.server, options=("--cache-size", str(cap_bytes)))
        series = self.series_of(mount)
        self.read(series[0])
        self.read(series[1])
        self.expect_downloads(mount, 2)


if __name__ == "__main__":
    harness.main()
