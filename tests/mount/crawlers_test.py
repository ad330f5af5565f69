# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Programs that crawl may look, but what they read is not downloaded for them."""

import os
import shutil
import subprocess

import harness


class Crawlers(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "C:patients=1,studies=1,series=2,images=2")
        self.crawler = self.program("updatedb")

    def program(self, name):
        """A program of that name that prints files."""
        path = os.path.join(self.directory, name)
        shutil.copy(shutil.which("cat"), path)
        return path

    def reads(self, program, path):
        """Its output; None if it was refused."""
        done = subprocess.run([program, path], capture_output=True, check=False,
                              timeout=harness.WAIT_S, env=harness.clean_environment({"LC_ALL": "C"}))
        if done.returncode == 0:
            return done.stdout
        self.assertIn(b"Permission denied", done.stderr)
        return None

    def test_nothing_is_downloaded_for_them(self):
        for option in ((), ("--ask-open", "none"), ("--ask-open", "all")):
            with self.subTest(option=option):
                shutil.rmtree(self.cache, ignore_errors=True)
                mounted = self.mount(self.server, options=option)
                first, *_, last = harness.walk_files(mounted.path)
                self.assertIsNone(self.reads(self.crawler, mounted / first))
                self.assertIsNone(self.reads(self.crawler, mounted / last))
                self.assertNotRegex(mounted.log(), r"getImage\b")
                log = mounted.log()
                self.assertRegex(log, r"warning /C/[^ ]*: updatedb \(process \d+\) may not start")
                told = harness.command("status", mounted.path).stdout
                self.assertNotIn("recent errors", told)

                with open(mounted / first, "rb") as file:  # everybody else may
                    content = file.read()
                self.assertEqual(self.reads(self.crawler, mounted / first), content)
                self.assertIsNone(self.reads(self.crawler, mounted / last))
                self.assertIsNotNone(self.reads(self.program("reader"), mounted / last))
                mounted.unmount()

    def test_the_list_is_a_setting(self):
        mounted = self.mount(self.server, options=["--no-fetch-for", "none"])
        first, *_, last = harness.walk_files(mounted.path)
        self.assertIsNotNone(self.reads(self.crawler, mounted / first))
        mounted.unmount()
        shutil.rmtree(self.cache)
        mounted = self.mount(self.server, options=["-o", "no_fetch_for=default:my-backup"])
        self.assertIsNone(self.reads(self.program("my-backup"), mounted / first))
        self.assertIsNone(self.reads(self.crawler, mounted / last))
        wrong = harness.command("mount", "--no-fetch-for", "/bin/x", self.directory)
        self.assertEqual(wrong.returncode, 2)
        self.assertIn("--no-fetch-for: '/bin/x' is no list of program names", wrong.stderr)


if __name__ == "__main__":
    harness.main()
