# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs fetch, pin and unpin: every outcome, on a real mount and a real terminal."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import time
import unittest

import harness

NOBODY = 65534
MIB = 1 << 20
COLLECTION = "C:patients=2,studies=1,series=2,images=4,size=64x64"
ZIPS = "*/getImage*"
SINGLES = "*/getSingleImage*"


class Fetching(harness.MountCase):
    def begin(self, *arguments, options=()):
        self.server = self.archive("--synthetic", COLLECTION, *arguments)
        self.mounted = self.mount(self.server, options=options)
        self.truth = self.server.truth("C")
        self.series = sorted({os.path.dirname(path) for path in self.truth})

    def fetch(self, *words, code=0, **options):
        outcome = harness.command("fetch", *words, **options)
        self.assertEqual(outcome.returncode, code, outcome)
        return outcome

    def one_line(self, outcome):
        self.assertEqual(outcome.stderr.count("\n"), 1, outcome)
        return outcome.stderr

    def fetching(self, *words, **options):
        """In the background, with what it says."""
        return self.background(harness.PROGRAM, *words, stdout=harness.PIPE, stderr=harness.PIPE,
                               text=True, env=harness.clean_environment(), **options)

    def outcome_of(self, process):
        stdout, stderr = process.communicate(timeout=harness.WAIT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def cached(self, path):
        return os.getxattr(self.mounted / path, "user.tcia.cached") == b"1"

    def stall(self, series, action="stall_before_head", **more):
        self.server.plan({"endpoint": ZIPS, "times": -1, "action": action,
                          "match": {"SeriesInstanceUID": os.path.basename(series)}, **more})


class Fetch(Fetching):
    def test_all_of_a_collection_and_again(self):
        self.begin()
        outcome = self.fetch(self.mounted / "C")
        lines = outcome.stdout.splitlines()
        self.assertRegex(lines[0], r"^4 series, 16 images, [0-9.]+ KiB; takes .* of the cache, "
                                   r"which has room for .*$")
        done = sorted(line.split()[1] for line in lines[1:5])
        self.assertEqual(done, ["/" + path for path in self.series])
        for line in lines[1:5]:
            self.assertRegex(line, r"^done  /\S+  4 images  [0-9.]+ KiB$")
        self.assertRegex(lines[5], r"^4 of 4 series verified; [0-9.]+ KiB came in ")
        self.assertEqual((len(lines), outcome.stderr), (6, ""))
        requests = self.server.requests("images")
        self.assertEqual(requests, 4)
        again = self.fetch(self.mounted / "C")
        self.assertIn("; all of it is here already\n4 of 4 series verified\n", again.stdout)
        self.server.stop()
        for path, (md5, _) in self.truth.items():
            self.assertEqual(harness.md5_of(self.mounted / path), md5)

    def test_paths_of_every_level(self):
        self.begin()
        path = next(iter(self.truth))
        for level in range(5, 0, -1):
            self.fetch(self.mounted / "/".join(path.split("/")[:level]))
        self.assertEqual(self.server.requests("images"), 4)
        mountpoint = self.one_line(self.fetch(self.mounted.path, code=2))
        self.assertIn("this is the whole archive", mountpoint)
        self.assertIn("4 of 4", self.fetch("--all", self.mounted.path).stdout)

    def test_wrong_paths_and_words(self):
        self.begin()
        self.assertIn("/C/nobody: the archive has no such object",
                      self.one_line(self.fetch(self.mounted / "C/nobody", code=1)))
        gone = self.series[0]
        os.listdir(self.mounted / os.path.dirname(gone))
        self.server.mutate(hide_series=os.path.basename(gone))
        harness.command("refresh", self.mounted / os.path.dirname(gone))
        self.assertIn("not in a mounted tciafs", self.one_line(self.fetch(self.directory, code=1)))
        self.assertIn("not in a mounted tciafs", self.one_line(self.fetch("/nowhere", code=1)))
        for words in ((), ("--jobs", "0", self.mounted / "C"), ("--jobs", "x", self.mounted / "C")):
            self.fetch(*words, code=2)
        self.assertEqual(self.server.requests("images"), 0)
        self.mounted.kill()
        self.assertIn("not in a mounted tciafs",
                      self.one_line(self.fetch(self.mounted / "C", code=1)))

    @unittest.skipIf(os.getuid() != 0, "needs another user")
    def test_another_user_is_refused(self):
        self.begin()
        os.chmod(self.directory, 0o755)
        program = os.path.join(self.directory, "tciafs")  # where everybody may run it
        shutil.copy(harness.PROGRAM, program)
        for word in ("fetch", "pin", "unpin"):
            outcome = subprocess.run([program, word, self.mounted / "C"], capture_output=True,
                                     text=True, user=NOBODY, timeout=harness.WAIT_S, check=False,
                                     env=harness.clean_environment())
            self.assertEqual(outcome.returncode, 1)
            self.assertIn("only they or root can talk to it", self.one_line(outcome))

    def test_what_does_not_fit_is_refused_before_a_byte(self):
        big = "B:patients=1,studies=1,series=4,images=10,size=512x512"  # 5 MB each
        self.begin("--synthetic", big, "--zip-level", 0, options=["--cache-size", "16M"])
        outcome = self.fetch(self.mounted / "B", code=1)
        self.assertRegex(outcome.stdout, r"^4 series, 40 images, 20\.\d MiB; .*\n$")
        self.assertRegex(self.one_line(outcome),
                         r"^tciafs: does not fit: 20\.\d MiB are still to come and there is room for "
                         r"1\d\.\d MiB: the cache may take 16\.0 MiB \(--cache-size\)\n$")
        self.assertEqual(self.server.requests("images"), 0)
        series = sorted({os.path.dirname(path) for path in self.server.truth("B")})
        self.fetch(*(self.mounted / path for path in series[:2]))
        name = os.listdir(self.mounted / series[0])[0]
        file = os.open(self.mounted / f"{series[0]}/{name}", os.O_RDONLY)
        self.addCleanup(os.close, file)
        in_use = self.fetch(*(self.mounted / path for path in series[1:]), code=1)
        self.assertRegex(self.one_line(in_use), r"; 5\.\d MiB in use\n$")
        self.assertEqual(self.server.requests("images"), 2)

    def test_what_is_fetched_together_stays_together(self):
        """Even if some of it was here, and the least recently used."""
        big = "B:patients=1,studies=1,series=4,images=8,size=512x512"  # 4.2 MB each
        self.begin("--synthetic", big, "--zip-level", 0, options=["--cache-size", "16M"])
        series = sorted({os.path.dirname(path) for path in self.server.truth("B")})
        self.fetch(self.mounted / series[2])
        self.fetch(self.mounted / series[3])
        self.fetch(*(self.mounted / path for path in series[:3]))
        self.assertEqual(self.server.requests("images"), 4)

    def test_what_the_archive_does_not_deliver_is_named(self):
        self.begin()
        self.server.plan({"endpoint": ZIPS, "times": -1, "action": "drop_entries", "k": 1,
                          "match": {"SeriesInstanceUID": os.path.basename(self.series[0])}},
                         {"endpoint": SINGLES, "times": -1, "action": "status", "code": 500})
        outcome = self.fetch(self.mounted / "C", code=7)
        self.assertEqual(outcome.stdout.count("done  "), 3)
        self.assertIn("3 of 4 series verified", outcome.stdout)
        lines = outcome.stderr.splitlines()
        self.assertTrue(lines[0].startswith(
            f"tciafs: /{self.series[0]}: 3 of 4 images are here: the archive did not deliver"), lines)
        missing = lines[1].split(": ")[0].strip()
        self.assertIn(missing[1:], self.truth)
        self.assertEqual(lines[2:],
                         ["tciafs: 1 of 4 series could not be brought here and verified"])
        for path in self.truth:
            if os.path.dirname(path) == self.series[0] and "/" + path != missing:
                self.assertTrue(self.cached(path))  # the others stay
        self.server.reset()
        self.fetch(self.mounted / self.series[0])
        self.assertEqual(harness.md5_of(self.mounted / missing[1:]), self.truth[missing[1:]][0])

    def test_a_short_zip_is_made_up_for(self):
        self.begin()
        self.server.plan({"endpoint": ZIPS, "times": -1, "action": "drop_entries", "k": [0, 2]})
        self.fetch(self.mounted / "C")
        self.assertTrue(all(self.cached(path) for path in self.truth))

    def test_it_says_whom_it_waits_for(self):
        """While there is nothing to show yet."""
        self.begin()
        host = f"127.0.0.1:{self.server.port}"
        self.server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        process = self.fetching("fetch", self.mounted / "C")
        self.assertEqual(process.stdout.readline(), f"waiting for {host}\n")
        self.assertIsNone(process.poll())
        self.server.stop()
        outcome = self.outcome_of(process)
        self.assertEqual(outcome.returncode, 4, outcome)
        self.assertIn(host, self.one_line(outcome))
        # Known to be down: no wait, and nothing to say but the reason.
        outcome = self.fetch(self.mounted / "C", code=4)
        self.assertEqual(outcome.stdout, "")
        self.assertIn(host, self.one_line(outcome))

    def test_an_archive_that_refuses_or_is_down(self):
        self.begin()
        self.server.plan({"endpoint": ZIPS, "times": -1, "action": "status", "code": 404})
        outcome = self.fetch(self.mounted / self.series[0], code=4)
        self.server.plan({"endpoint": ZIPS, "times": -1, "action": "status", "code": 403})
        outcome = self.fetch(self.mounted / self.series[0], code=5)
        self.assertIn(f"tciafs: /{self.series[0]}: 127.0.0.1", outcome.stderr)
        harness.walk_files(self.mounted.path)
        self.server.stop()
        outcome = self.fetch("--jobs", 1, self.mounted / "C", code=4)
        self.assertRegex(outcome.stderr, r"^tciafs: /C/C-0001/.*127\.0\.0\.1.*\n"
                         r"(.*\n)*tciafs: 4 of 4 series could not be brought here and verified")

    def test_a_server_with_a_wrong_path(self):
        """Says so, with the remedy, wherever it is met."""
        self.server = self.archive("--synthetic", COLLECTION)
        self.mounted = self.mount(self.server.url.replace("/nbia-api", "/wrong"))
        words = (r"no NBIA API at this address \(oauth/token: HTTP 404 with a web page \(request \d+\)\): "
                 "check the path of the URL; it usually ends in /nbia-api")
        self.assertRegex(self.one_line(self.fetch(self.mounted / "C", code=4)),
                         rf"^tciafs: 127\.0\.0\.1:\d+: {words}\n$")
        self.assertRegex(harness.command("status", self.mounted.path).stdout, words)
        self.assertRegex(self.mounted.log(), words)

    def test_offline(self):
        self.begin()
        harness.walk_files(self.mounted.path)
        self.fetch(self.mounted / self.series[0])
        self.mounted = self.remount(self.mounted, self.server, options=["--offline"])
        self.fetch(self.mounted / self.series[0])
        outcome = self.fetch("--jobs", 1, self.mounted / "C", code=4)
        self.assertIn("3 of 4 series could not be brought here and verified, 2 of them were not "
                      "asked for after that", outcome.stderr)

    def test_ctrl_c_keeps_what_arrived_and_the_next_resumes(self):
        self.begin()
        self.stall(self.series[3])
        fetching = self.fetching("fetch", "--jobs", "1", self.mounted / "C")
        for line in fetching.stdout:
            if line.startswith(f"done  /{self.series[2]} "):
                break
        harness.wait_for(lambda: self.server.hits() == 1, "the last one is asked for")
        fetching.send_signal(signal.SIGINT)
        outcome = self.outcome_of(fetching)
        self.assertEqual(outcome.returncode, 130)
        self.assertEqual(outcome.stderr, "tciafs: interrupted; what has arrived stays\n")
        harness.wait_for(lambda: not self.server.active("getImage"), "the download is let go")
        self.server.reset()
        again = self.fetch(self.mounted / "C")
        self.assertIn("; 3 series (", again.stdout)
        self.assertEqual(again.stdout.count("done  "), 1)
        self.assertEqual(self.server.requests("images"), 1)

    def test_two_at_once_and_a_reader_share_the_downloads(self):
        self.begin("--bandwidth", 100_000)
        fetches = [self.fetching("fetch", self.mounted / "C") for _ in range(2)]
        path = next(iter(self.truth))
        self.assertEqual(harness.md5_of(self.mounted / path), self.truth[path][0])
        for fetch in fetches:
            outcome = self.outcome_of(fetch)
            self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
            self.assertIn("4 of 4 series verified", outcome.stdout)
        self.assertEqual(self.server.requests("images"), 4)

    def test_jobs_bound_what_is_asked_for(self):
        self.begin("--latency-ms", 50, options=["--downloads", 4])
        self.fetch("--jobs", 1, self.mounted / "C")
        self.assertEqual(self.server.counters()["v4/getImage"]["max_active"], 1)

    def test_the_end_of_the_mount(self):
        self.begin()
        self.stall(self.series[0])
        fetching = self.fetching("fetch", self.mounted / "C")
        harness.wait_for(lambda: self.server.active("getImage"), "it is asked for")
        self.mounted.unmount()
        outcome = self.outcome_of(fetching)
        self.assertEqual(outcome.returncode, 1)
        self.assertEqual(self.one_line(outcome), "tciafs: the mount has ended\n")

    def test_a_mount_that_dies(self):
        self.begin()
        self.stall(self.series[3], "stall_after_bytes", n=10_000)
        fetching = self.fetching("fetch", self.mounted / "C")
        done = 0
        for line in fetching.stdout:
            done += line.startswith("done  ")
            if done == 3:
                break
        self.mounted.kill()
        outcome = self.outcome_of(fetching)
        self.assertEqual(outcome.returncode, 1)
        self.assertEqual(self.one_line(outcome), "tciafs: the mount has ended\n")
        self.server.reset()
        self.mounted = self.mount(self.server)
        again = self.fetch(self.mounted / "C")
        self.assertIn("; 3 series (", again.stdout)
        self.assertEqual(self.server.requests("images"), 1)


class Pin(Fetching):
    SERIES = "B:patients=1,studies=1,series=6,images=8,size=512x512"  # 4.2 MB each

    def begin_small(self):
        self.begin("--synthetic", self.SERIES, "--zip-level", 0, options=["--cache-size", "16M"])
        self.big = sorted({os.path.dirname(path) for path in self.server.truth("B")})

    def command(self, word, *words, code=0):
        outcome = harness.command(word, *words)
        self.assertEqual(outcome.returncode, code, outcome)
        return outcome

    def here(self, series):
        return all(self.cached(f"{series}/{name}") for name in os.listdir(self.mounted / series))

    def test_pinned_survives_what_others_need(self):
        self.begin_small()
        outcome = self.command("pin", self.mounted / self.big[0])
        self.assertIn("\n1 series pinned\ndone  ", outcome.stdout)
        for series in self.big[1:]:
            self.fetch(self.mounted / series)
        self.assertTrue(self.here(self.big[0]))
        self.assertFalse(self.here(self.big[1]))
        self.mounted.kill()
        self.mounted = self.mount(self.server, options=["--cache-size", "16M"])
        self.assertEqual(self.command("unpin", self.mounted / self.big[0]).stdout,
                         "1 series unpinned\n")
        for series in self.big[1:]:
            self.fetch(self.mounted / series)
        self.assertFalse(self.here(self.big[0]))

    def test_more_than_fits_is_not_pinned(self):
        self.begin_small()
        self.command("pin", "--no-fetch", self.mounted / self.big[0])
        self.command("pin", "--no-fetch", self.mounted / self.big[1])
        self.assertEqual(self.server.requests("images"), 0)
        outcome = self.command("pin", self.mounted / self.big[2], self.mounted / self.big[3], code=1)
        self.assertRegex(self.one_line(outcome), r"^tciafs: does not fit: 16\.\d MiB are still to "
                         r"come, 8\.\d MiB of them of what is pinned already, and there is room ")
        self.assertEqual(self.server.requests("images"), 0)
        self.assertEqual(self.command("unpin", self.mounted / self.big[2]).stdout,
                         "0 series unpinned\n")
        status = harness.command("status", self.mounted.path).stdout
        self.assertIn("0 series (2 pinned)", status)

    def test_what_the_archive_no_longer_lists_is_unpinned(self):
        """By the path it had, or by its UID; and is told until then."""
        self.begin("--synthetic", "D:patients=1,studies=1,series=4,images=1",
                   options=["--metadata-ttl", "1s"])
        series = sorted({os.path.dirname(path) for path in self.server.truth("D")})
        uids = [os.path.basename(path) for path in series]
        self.command("pin", "--no-fetch", self.mounted / "D")
        for uid in uids[:3]:
            self.server.mutate(hide_series=uid)
        study = self.mounted / os.path.dirname(series[0])
        harness.wait_for(lambda: os.listdir(study) == uids[3:], "they are gone from the list")
        environment = {"TCIAFS_CACHE_DIR": self.cache}

        def pins():
            told = harness.command("cache", "list", "--pinned", "--json", environment=environment)
            return {pin["series"]: pin["path"] for pin in json.loads(told.stdout)}
        self.assertEqual(pins(), {**dict.fromkeys(uids[:3]), uids[3]: "/" + series[3]})
        self.assertIn("no such object", self.one_line(
            self.command("unpin", self.mounted / "D/nobody", code=1)))
        self.assertIn("no such object", self.one_line(
            self.command("unpin", self.mounted / f"D/nobody/1.2/{uids[3]}", code=1)))
        self.assertEqual(self.command("unpin", self.mounted / series[0]).stdout,
                         "1 series unpinned\n")
        by_uid = harness.command("unpin", uids[1], environment=environment)
        self.assertEqual((by_uid.returncode, by_uid.stdout), (0, "1 series unpinned\n"), by_uid)
        self.assertEqual(pins(), {uids[2]: None, uids[3]: "/" + series[3]})
        self.assertEqual(self.command("unpin", self.mounted / "D", uids[2]).stdout,
                         "2 series unpinned\n")
        unknown = harness.command("unpin", uids[2], environment=environment)
        self.assertEqual(unknown.returncode, 1)
        self.assertEqual(self.one_line(unknown), f"tciafs: {uids[2]}: no such series is pinned\n")

    def test_refusals(self):
        self.begin()
        self.assertIn("the archive has no such object",
                      self.one_line(self.command("pin", self.mounted / "X", code=1)))
        self.assertIn("this is the whole archive",
                      self.one_line(self.command("unpin", self.mounted.path, code=2)))
        self.assertIn("not in a mounted tciafs",
                      self.one_line(self.command("pin", "/proc", code=1)))


class Terminal(Fetching):
    """Bars on a terminal of our own."""

    def start(self, columns, *words, environment=None):
        """A program whose controlling terminal it is."""
        parent, child = pty.openpty()
        self.addCleanup(os.close, parent)
        self.resize(child, columns)
        process = self.background("setsid", "--ctty", harness.PROGRAM, *words, stdin=child,
                                  stdout=child, stderr=child,
                                  env=harness.clean_environment(environment))
        os.close(child)
        return process, parent

    @staticmethod
    def resize(terminal, columns):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read_until(self, terminal, pattern):
        seen = b""
        deadline = time.monotonic() + harness.WAIT_S
        while not re.search(pattern, seen):
            self.assertLess(time.monotonic(), deadline, seen)
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # nobody writes to it any more
                piece = b""
            self.assertTrue(piece, (pattern, seen))
            seen += piece
        return seen

    @staticmethod
    def lines_of(painted):
        return re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", painted).decode().split("\r\n")

    def test_bars(self):
        self.begin("--bandwidth", 30_000)  # about three seconds in all
        process, terminal = self.start(100, "fetch", self.mounted / "C")
        self.read_until(terminal, rb"(?s)(\[=+> *\]  [0-9.]+ KiB of 37.5 KiB  /C/C-\S+\r\n){2}"
                                  rb"\[=+> *\]  [0-9.]+ KiB of 150.0 KiB  0 of 4 series\r\n"
                                  rb"\x1b\[3F\x1b\[J")
        self.read_until(terminal, rb"J4 of 4 series verified; 150.0 KiB came in \d+ s\r\n$")
        self.assertEqual(process.wait(harness.WAIT_S), 0)

    def test_a_terminal_that_cannot_paint_gets_lines(self):
        self.begin()
        process, terminal = self.start(100, "fetch", self.mounted / "C",
                                       environment={"TERM": "dumb"})
        seen = self.read_until(terminal, rb"4 of 4 series verified")
        self.assertEqual(seen.count(b"done  "), 4)
        self.assertNotIn(b"\x1b", seen)
        self.assertEqual(process.wait(harness.WAIT_S), 0)

    def test_bars_follow_the_size_of_the_terminal(self):
        self.begin()
        self.stall(self.series[0], "stall_after_bytes", n=10_000)
        process, terminal = self.start(100, "fetch", self.mounted / self.series[0],
                                       environment={"NO_COLOR": "1"})
        seen = self.read_until(terminal, rb"/C/C-0001/.*\r\n.*0 of 1 series\r\n\x1b\[2F\x1b\[J")
        self.assertEqual(max(len(line) for line in self.lines_of(seen)[1:]), 99)
        self.resize(terminal, 50)
        self.read_until(terminal, rb"\x1b\[[34]F\x1b\[J")  # what was shown is now in more lines
        seen = self.read_until(terminal, rb"(?s)\x1b\[2F\x1b\[J.*\x1b\[2F\x1b\[J")
        self.assertLess(max(len(line) for line in self.lines_of(seen)), 50)
        self.assertEqual(set(re.findall(rb"\x1b\[[0-9;]*([A-Za-z])", seen)), {b"F", b"J"})
        os.write(terminal, b"\x03")
        self.read_until(terminal, rb"Jtciafs: interrupted; what has arrived stays\r\n$")
        self.assertEqual(process.wait(harness.WAIT_S), 130)


if __name__ == "__main__":
    harness.main()
