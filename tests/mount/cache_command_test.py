# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs cache info, list, verify, evict and clear: with a mount of the cache, and without one."""

import glob
import json
import os
import pty
import shutil
import signal
import subprocess
import unittest

import harness

NOBODY = 65534


class CacheCase(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "C:patients=3,studies=1,series=1,images=3")
        self.environment = {"TCIAFS_SERVER": self.server.url, "TCIAFS_CACHE_DIR": self.cache}
        self.mounted = self.mount(self.server)
        files = harness.walk_files(self.mounted.path)
        self.series = sorted({os.path.dirname(path) for path in files})  # one of each patient
        self.files = {series: [path for path in files if path.startswith(series + "/")]
                      for series in self.series}

    def cache_command(self, *words, **options):
        return harness.command("cache", *words, environment=self.environment, **options)

    def does(self, *words, **options):
        outcome = self.cache_command(*words, **options)
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""), outcome)
        return outcome.stdout

    def fails(self, code, *words, **options):
        """What it printed, and the one line on standard error."""
        outcome = self.cache_command(*words, **options)
        self.assertEqual(outcome.returncode, code, outcome)
        self.assertEqual(outcome.stderr.count("\n"), 1, outcome.stderr)
        return outcome.stdout, outcome.stderr

    def info(self):
        return json.loads(self.does("info", "--json"))

    def listed(self, *words):
        return json.loads(self.does("list", "--json", *words))

    def paths(self):
        return [series["path"] for series in self.listed()]

    def fetch(self, *which):
        for number in which:
            for path in self.files[self.series[number]]:
                harness.md5_of(self.mounted / path)
        harness.wait_for(lambda: all(series["verified"] for series in self.listed()), "verified")

    def both_ways(self, check):
        """With the mount, and after its end."""
        check()
        self.mounted.unmount()
        check()

    def data_file(self, path):
        uid = os.path.basename(path)
        return glob.glob(os.path.join(self.cache, "images/series/*/*", uid))[0]


class Looking(CacheCase):
    def test_info(self):
        self.fetch(0, 1)
        told = self.info()
        self.assertEqual(told["directory"], self.cache)
        self.assertEqual((told["series"], told["series_pinned"], told["instances"]), (2, 0, 6))
        self.assertEqual((told["pid"], told["mountpoint"]),
                         (self.mounted.process.pid, self.mounted.path))
        text = self.does("info")
        for part in (self.cache, "format     2", "2 (0 pinned)", f"mounted on {self.mounted.path}"):
            self.assertIn(part, text)
        self.mounted.unmount()
        without = self.info()
        self.assertEqual((without["pid"], without["mountpoint"]), (None, None))
        self.assertEqual((without["series"], without["instances"]), (2, 6))
        self.assertIn("in use by  nobody", self.does("info"))

    def test_list(self):
        self.fetch(2, 0)

        def check():
            told = self.listed()
            self.assertEqual([series["path"] for series in told],
                             ["/" + self.series[2], "/" + self.series[0]])
            for series in told:
                self.assertEqual((series["images"], series["images_expected"]), (3, 3))
                self.assertEqual((series["verified"], series["pinned"]), (True, False))
                self.assertGreater(series["size_bytes"], 0)
            lines = self.does("list").splitlines()
            self.assertEqual(len(lines), 3)
            self.assertRegex(lines[1], r"KiB +3 +yes +no +[0-9-]*.*/" + self.series[2])
            self.assertEqual(self.listed("--pinned"), [])
        self.both_ways(check)

    def test_a_series_the_catalog_does_not_know_goes_by_its_uid(self):
        self.fetch(0)
        self.mounted.unmount()
        shutil.rmtree(os.path.join(self.cache, "catalog"))
        (told,) = self.listed()
        self.assertIsNone(told["path"])
        self.assertEqual(told["series"], os.path.basename(self.series[0]))
        self.assertEqual(told["server"], self.server.url)
        self.assertIn("freed", self.does("evict", told["series"]))

    def test_looking_without_a_mount_evicts_nothing(self):
        self.fetch(0, 1, 2)
        before = self.paths()
        self.mounted.unmount()
        self.environment.update(TCIAFS_CACHE_SIZE="16M", TCIAFS_MIN_FREE="99%")
        self.assertEqual(self.paths(), before)


    def test_looking_leaves_a_damaged_index_alone(self):
        self.fetch(0)
        self.mounted.unmount()
        with open(os.path.join(self.cache, "images", "index", "data.mdb"), "r+b") as index:
            index.write(b"damaged")
        before = sorted(harness.walk_files(os.path.join(self.cache, "images", "series")))
        self.assertGreater(len(before), 0)
        _, line = self.fails(6, "info")
        self.assertRegex(line, "the index is unusable .*; the next mount empties this cache")
        self.assertEqual(sorted(harness.walk_files(os.path.join(self.cache, "images", "series"))), before)
        self.assertFalse(os.path.exists(os.path.join(self.cache, "images", "index.damaged")))


class Verifying(CacheCase):
    def test_all_intact(self):
        self.fetch(0, 1)
        requests = self.server.requests("images")
        self.both_ways(lambda: self.assertIn("checked 6 images of 2 series", self.does("verify")))
        self.assertIn("checked 3 images of 1 series",
                      self.does("verify", os.path.basename(self.series[0])))
        self.assertEqual(self.server.requests("images"), requests)

    def test_a_damaged_image_is_named_and_fetched_again(self):
        self.fetch(0, 1)
        for mounted in (True, False):
            path = self.files[self.series[0]][1]
            with open(self.data_file(path), "r+b") as file:
                file.seek(100)
                byte = file.read(1)
                file.seek(100)
                file.write(bytes([byte[0] ^ 1]))
            if not mounted:
                self.mounted.unmount()
            words = [self.mounted / self.series[0]] if mounted else ["all"]
            printed, error = self.fails(7, "verify", *words)
            self.assertIn("/" + self.series[0], printed)
            self.assertIn(os.path.basename(path)[:-len(".dcm")], printed)
            self.assertIn("1 of them not intact", error)
            self.does("verify")
            if mounted:
                truth = self.server.truth("C")
                self.assertEqual(harness.md5_of(self.mounted / path), truth[path][0])
                self.fetch(0)

    def test_a_bar_on_a_terminal(self):
        self.fetch(0)
        parent, child = pty.openpty()
        verify = self.background(harness.PROGRAM, "cache", "verify", stdout=child,
                                 env=harness.clean_environment(self.environment))
        os.close(child)
        seen = b""
        while b"checked" not in seen:
            seen += os.read(parent, 4096)
        self.assertEqual(verify.wait(harness.WAIT_S), 0)
        os.close(parent)
        self.assertRegex(seen, rb"\[ *\] +0 B of ")


class Evicting(CacheCase):
    def test_by_path(self):
        self.fetch(0, 1, 2)
        printed = self.does("evict", self.mounted / self.series[1])
        self.assertIn("/" + self.series[1] + ": ", printed)
        self.assertRegex(printed, r"freed .* in 1 series")
        self.assertEqual(self.paths(), ["/" + self.series[0], "/" + self.series[2]])
        path = self.files[self.series[1]][0]
        self.assertEqual(harness.md5_of(self.mounted / path), self.server.truth("C")[path][0])
        self.does("evict", self.mounted / "C")
        self.assertEqual(self.paths(), [])

    def test_without_a_mount(self):
        self.fetch(0, 1, 2)
        self.mounted.unmount()
        self.does("evict", os.path.basename(self.series[0]))
        self.does("evict", "/" + os.path.dirname(self.series[1]))
        self.assertEqual(self.paths(), ["/" + self.series[2]])
        _, error = self.fails(1, "evict", "/C/nobody")
        self.assertIn("/C/nobody: nothing of it is in the cache", error)
        _, error = self.fails(1, "evict", "C")
        self.assertIn("neither a path in a mounted tciafs nor", error)

    def test_by_age_and_size(self):
        self.fetch(0, 1, 2)

        def check():
            self.assertRegex(self.does("evict", "--older-than", "1d"), "freed 0 B in 0 series")
            told = self.info()["used_bytes"]
            self.does("evict", "--to", str(told - 1))
        check()
        self.assertEqual(self.paths(), ["/" + self.series[1], "/" + self.series[2]])
        self.mounted.unmount()
        check()
        self.assertEqual(self.paths(), ["/" + self.series[2]])
        self.does("evict", "--older-than", "0s")
        self.assertEqual(self.paths(), [])

    def test_pinned_series_stay_unless_told(self):
        self.fetch(0, 1)
        pinned = harness.command("pin", self.mounted / self.series[0])
        self.assertEqual(pinned.returncode, 0, pinned)

        def images():
            return {series["path"][1:]: series["images"] for series in self.listed()}
        self.assertIn(f"/{self.series[0]}: kept, pinned", self.does("evict", self.mounted / "C"))
        self.assertEqual(images(), {self.series[0]: 3})
        self.assertEqual(len(self.listed("--pinned")), 1)
        self.fetch(1)
        self.assertIn("kept, pinned", self.does("clear", "--yes", "--keep-pinned"))
        self.assertEqual(images(), {self.series[0]: 3})
        self.mounted.unmount()
        self.does("evict", "/C", "--older-than", "0s")
        self.assertEqual(images(), {self.series[0]: 3})
        self.does("evict", "/C", "--pinned")
        self.assertEqual(images(), {self.series[0]: 0})  # it stays pinned
        self.assertTrue(self.listed()[0]["pinned"])

    def test_refusals(self):
        for words, part in ((("evict",), "name paths"), (("evict", "--to", "much"), "--to"),
                            (("evict", "--older-than", "x"), "--older-than"),
                            (("clear",), "give --yes")):
            _, error = self.fails(2, *words)
            self.assertIn(part, error)
        for words in (("frobnicate",), (), ("info", "--frobnicate")):
            self.assertEqual(self.cache_command(*words).returncode, 2)


class Clearing(CacheCase):
    def test_with_a_mount_and_without(self):
        def check():
            self.assertRegex(self.does("clear", "--yes"), r"freed .* in \d series")
            self.assertEqual(self.paths(), [])
            self.assertEqual(glob.glob(os.path.join(self.cache, "images/series/*/*")), [])
        self.fetch(0, 1)
        check()
        path = self.files[self.series[0]][0]
        self.assertEqual(harness.md5_of(self.mounted / path), self.server.truth("C")[path][0])
        self.mounted.unmount()
        check()

    def ask(self, answer):
        """At a terminal: the code, and what was shown."""
        parent, child = pty.openpty()
        clear = self.background(harness.PROGRAM, "cache", "clear", stdin=child, stdout=child,
                                stderr=child, env=harness.clean_environment(self.environment))
        os.close(child)
        seen = b""
        while b"[y/N]" not in seen:
            seen += os.read(parent, 4096)
        os.write(parent, answer)
        try:
            while more := os.read(parent, 4096):
                seen += more
        except OSError:  # the other end has closed
            pass
        os.close(parent)
        return clear.wait(harness.WAIT_S), seen.decode()

    def test_asks_at_a_terminal(self):
        self.fetch(0)
        code, seen = self.ask(b"n\n")
        self.assertEqual(code, 1)
        self.assertIn(f"Remove all images from {self.cache}?", seen)
        self.assertIn("nothing was removed", seen)
        self.assertEqual(len(self.paths()), 1)
        code, seen = self.ask(b"y\n")
        self.assertEqual(code, 0)
        self.assertEqual(self.paths(), [])

    def test_never_a_directory_of_something_else(self):
        self.mounted.unmount()
        other = os.path.join(self.directory, "other")
        os.makedirs(os.path.join(other, "images/series/aa"))
        with open(os.path.join(other, "images/series/aa/precious"), "w", encoding="utf-8"):
            pass
        for words in (("info",), ("list",), ("verify",), ("evict", "1.2.3"), ("clear", "--yes")):
            for place in (other, os.path.join(self.directory, "nowhere"), "/dev/null"):
                _, error = self.fails(6, *words, "--cache-dir", place)
                self.assertIn(f"cache {place}: there is no cache of tciafs", error)
        self.assertEqual(os.listdir(os.path.join(other, "images/series/aa")), ["precious"])
        self.assertFalse(os.path.exists(os.path.join(self.directory, "nowhere")))

    def test_a_newer_format_is_left_alone(self):
        self.fetch(0)
        self.mounted.unmount()
        with open(os.path.join(self.cache, "images/FORMAT"), "w", encoding="utf-8") as file:
            file.write("tciafs-cache 99\n")
        _, error = self.fails(6, "clear", "--yes")
        self.assertIn("newer", error)
        self.assertEqual(len(glob.glob(os.path.join(self.cache, "images/series/*/*"))), 1)


    def test_an_older_format_is_emptied_by_the_next_mount(self):
        """Told in one line, and by commands that only look; pins stay."""
        self.fetch(0, 1)
        pinned = harness.command("pin", os.path.join(self.mounted.path, self.series[0]))
        self.assertEqual(pinned.returncode, 0, pinned)
        self.mounted.unmount()
        form = os.path.join(self.cache, "images/FORMAT")
        with open(form, "w", encoding="utf-8") as file:
            file.write("tciafs-cache 1\n")
        for words in (["list"], ["info"], ["clear", "--yes"]):
            _, error = self.fails(6, *words)
            self.assertIn("older", error)
        self.assertEqual(len(glob.glob(os.path.join(self.cache, "images/series/*/*"))), 2)
        told = harness.command("doctor", environment=self.environment).stdout
        self.assertIn("written by an older tciafs (format 1)", told)
        mounted = self.mount(self.server)
        told = [line for line in mounted.log().splitlines() if "older" in line]
        self.assertEqual(len(told), 1, mounted.log())
        self.assertIn(f"cache {self.cache}/images: written by an older tciafs (format 1", told[0])
        with open(form, encoding="utf-8") as file:
            self.assertEqual(file.read(), "tciafs-cache 2\n")
        self.assertEqual([(series["path"], series["pinned"], series["images"])
                          for series in self.listed()], [("/" + self.series[0], True, 0)])
        with open(os.path.join(mounted.path, self.files[self.series[1]][0]), "rb") as file:
            self.assertEqual(file.read()[128:132], b"DICM")


class Ownership(CacheCase):
    def test_in_use_by_a_process_that_cannot_be_asked(self):
        self.mounted.unmount()
        holder = self.background("flock", "-F", os.path.join(self.cache, "images/lock"), "sleep", "60")
        harness.wait_for(lambda: self.cache_command("info").returncode == 6, "the lock is held")
        _, error = self.fails(6, "info")
        self.assertIn("in use by process", error)
        holder.kill()

    def test_under_another_name(self):
        self.fetch(0)
        link = os.path.join(self.directory, "link")
        os.symlink(self.cache, link)
        self.assertEqual(json.loads(self.does("info", "--json", "--cache-dir", link))["pid"],
                         self.mounted.process.pid)

    @unittest.skipIf(os.getuid() != 0, "needs another user")
    def test_another_user_is_refused(self):
        self.mounted.unmount()
        os.chmod(self.directory, 0o755)
        program = os.path.join(self.directory, "tciafs")  # where everybody may run it
        shutil.copy(harness.PROGRAM, program)
        for mode, part in ((0o700, "Permission denied"), (0o755, "belongs to root")):
            os.chmod(self.cache, mode)
            os.chmod(os.path.join(self.cache, "images"), mode)
            os.chmod(os.path.join(self.cache, "images/FORMAT"), 0o644)
            outcome = subprocess.run([program, "cache", "clear", "--yes"], capture_output=True,
                                     text=True, user=NOBODY, timeout=harness.WAIT_S, check=False,
                                     env=harness.clean_environment(self.environment))
            self.assertEqual(outcome.returncode, 6, outcome)
            self.assertIn(part, outcome.stderr)

    def test_a_process_that_died_leaves_a_cache_to_look_at(self):
        self.fetch(0)
        self.mounted.kill()
        self.assertEqual(self.info()["series"], 1)
        self.assertIn("checked 3 images", self.does("verify"))
        self.assertFalse(glob.glob(os.path.join(self.directory, "tciafs-cache-*")))

    def test_ctrl_c(self):
        self.fetch(0)
        self.mounted.unmount()
        verify = self.background(harness.PROGRAM, "cache", "clear", "--yes",
                                 stdin=harness.DISCARD, stdout=harness.DISCARD,
                                 env=harness.clean_environment(self.environment))
        verify.send_signal(signal.SIGINT)  # at any moment: it has ended either way, and well
        self.assertIn(verify.wait(harness.WAIT_S), (0, 130, -signal.SIGINT))
        self.assertIn("checked", self.does("verify"))


if __name__ == "__main__":
    harness.main()
