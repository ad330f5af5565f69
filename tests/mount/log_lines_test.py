# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What the log says of requests: each has a number, and lines about one request carry the same."""

import os
import re

import harness

DOWNLOADED = (r"series (?P<series>[0-9.]+): 3 of 3 instances, (?P<bytes>\d+) bytes in \d+ ms, (?P<how>[a-z ]+); "
              r"for (?P<whom>[a-z ]+) \((?P<by>.*)\)$")


class LogLines(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "C:patients=2,studies=1,series=1,images=3,size=64x64")
        self.truth = self.server.truth("C")
        self.series = sorted({os.path.dirname(path) for path in self.truth})

    def paths_of(self, series):
        return sorted(path for path in self.truth if path.startswith(series))

    def line(self, mount, pattern):
        found = []

        def there():
            found[:] = list(re.finditer(pattern, mount.log(), re.MULTILINE))
            return found
        harness.wait_for(there, f"a line like {pattern}")
        return found[-1]

    def test_a_download_says_what_came_for_whom_and_by_which_request(self):
        mount = self.mount(self.server)
        first, second = self.series
        for path in self.paths_of(first):
            harness.md5_of(mount / path)
        line = self.line(mount, DOWNLOADED)
        self.assertEqual((line["series"], line["how"], line["whom"]),
                         (os.path.basename(first), "verified", "readers"))
        self.assertEqual(int(line["bytes"]),
                         sum(os.path.getsize(mount / path) for path in self.paths_of(first)))
        request = line["by"]
        self.assertRegex(request, r"^request \d+$")
        # Sent and ended, under the same number.
        about = [part for part in mount.log().splitlines() if re.search(rf"\b{request}: ", part)]
        self.assertEqual(len(about), 2, about)
        self.assertRegex(about[0], r"127\.0\.0\.1\S*: \S*getImage\S*$")
        self.assertRegex(about[1], r"127\.0\.0\.1\S*: \S*getImage\S*: \d+ bytes$")
        harness.command("fetch", mount / second)
        harness.wait_for(lambda: "; for fetch (request " in mount.log(), "the line of the fetched series")

    def test_what_single_images_mended_is_told(self):
        self.server.plan({"endpoint": "*/getImage*", "action": "drop_entries", "k": 1, "times": -1})
        mount = self.mount(self.server)
        harness.command("fetch", mount / self.series[0])
        line = self.line(mount, DOWNLOADED)
        self.assertEqual((line["how"], line["whom"]), ("verified", "fetch"))
        self.assertRegex(line["by"], r"^request \d+ and 1 single image$")

    def test_a_failure_names_its_request_and_retries_carry_its_number(self):
        mount = self.mount(self.server)
        path = self.paths_of(self.series[0])[0]
        os.stat(mount / path)
        self.server.plan({"endpoint": "*Image*", "action": "status", "code": 503, "times": -1})
        self.assertEqual(harness.outcome_of_reading(mount / path), "EIO")
        failure = self.line(mount, rf"series {os.path.basename(self.series[0])}: .*\(request (\d+)\)$")
        number = failure[1]
        self.assertRegex(mount.log(), rf"request {number}: \S+: \S*getImage\S*\n")
        self.assertRegex(mount.log(), rf"request {number}: \S+: status 503, attempt 2 follows in \d+ ms\n")
        self.assertRegex(mount.log(), rf"request {number}: \S+: \S*getImage: HTTP 503\n")
        # Also what the reader's failure is told with.
        self.assertRegex(mount.log(), rf"of node \d+: .*\(request \d+\) \(")


if __name__ == "__main__":
    harness.main()
