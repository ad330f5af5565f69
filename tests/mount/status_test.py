# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs status and refresh: what a running mount tells, and to whom."""

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

import harness

NOBODY = 65534


class Asking(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "C:patients=2,studies=1,series=1,images=3",
                                   "--synthetic", "D:patients=1,studies=1,series=1,images=3")
        self.mounted = self.mount(self.server)
        os.listdir(self.mounted.path)  # no request of the mount's own is under way any more

    def fails(self, code, *words, **options):
        """The one line on standard error."""
        outcome = harness.command(*words, **options)
        self.assertEqual((outcome.returncode, outcome.stdout), (code, ""), outcome)
        self.assertEqual(outcome.stderr.count("\n"), 1, outcome.stderr)
        return outcome.stderr

    def status(self):
        return harness.command("status", self.mounted.path).stdout

    def asking_in_vain(self, path, endpoint, **options):
        """A refresh that has sent its request, and waits."""
        sent = f"{endpoint}\n"
        before = self.mounted.log().count(sent)
        asking = self.background(harness.PROGRAM, "refresh", path, stderr=harness.PIPE,
                                 env=harness.clean_environment(), **options)
        harness.wait_for(lambda: self.mounted.log().count(sent) > before, "the request is sent")
        return asking

    def request(self, line):
        """A line over the socket, as no command would send it: the last answer."""
        name = harness.record_of_mount(self.mounted.path).removesuffix(".mount") + ".socket"
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(harness.WAIT_S)
            channel.connect(name)
            answer = b""
            try:
                channel.sendall(line)
            except ConnectionError:  # refused before it was all told
                pass
            try:
                while piece := channel.recv(65536):
                    answer += piece
            except ConnectionResetError:  # likewise; what was answered came before
                pass
            return answer.splitlines()[-1]


class Status(Asking):
    def test_in_words(self):
        harness.walk_files(self.mounted.path)
        path = harness.walk_files(self.mounted.path)[0]
        harness.md5_of(self.mounted / path)
        harness.md5_of(self.mounted / path)
        outcome = harness.command("status", self.mounted / "C")  # any path in it
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        self.assertIn(self.mounted.path, outcome.stdout)
        for section in ("servers", "127.0.0.1", "cache", "1 series (0 pinned), 3 images"):
            self.assertIn(section, outcome.stdout)

    def test_every_mount_of_the_caller(self):
        other = self.mount(self.server, cache=os.path.join(self.directory, "cache2"))
        outcome = harness.command("status")  # other tests' mounts may be dying meanwhile: any code
        self.assertIn(self.mounted.path, outcome.stdout)
        self.assertIn(other.path, outcome.stdout)

    def test_json_is_what_the_file_has(self):
        told = json.loads(harness.command("status", "--json", self.mounted.path).stdout)
        with open(self.mounted / ".tcia/status.json", encoding="utf-8") as file:
            written = json.load(file)
        self.assertEqual(told["mountpoint"], self.mounted.path)
        for report in (told, written):
            for moving in ("time", "uptime_s"):
                report.pop(moving)
            report["cache"].pop("disk_free_bytes")
        self.assertEqual(told, written)

    def test_a_download_is_shown(self):
        path = harness.walk_files(self.mounted.path)[0]
        self.server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"})
        self.background(sys.executable, "-c", f"open({self.mounted / path!r}, 'rb').read()",
                        stderr=harness.DISCARD)
        shown = "  /" + os.path.dirname(path)
        text = harness.wait_for(
            lambda: (lambda text: shown in text and text)(self.status()), "the download is told")
        self.assertIn("downloads\n", text)

    def test_a_server_that_is_down(self):
        patients = [self.mounted / f"C/{name}" for name in os.listdir(self.mounted / "C")]
        self.server.stop()
        with self.assertRaises(OSError):
            os.listdir(patients[0])
        text = self.status()
        self.assertRegex(text, r"127.0.0.1:\d+  (failing|offline) .*since .*: .*; asked again in")
        self.assertRegex(text, r"recent errors\n  [0-9:]+  /C/C-0001: ")

    def test_watch_ends_with_ctrl_c(self):
        watch = self.background(harness.PROGRAM, "status", "--watch", self.mounted.path,
                                stdout=harness.PIPE, text=True, env=harness.clean_environment())
        seen = 0
        for line in watch.stdout:
            seen += line.startswith("servers")
            if seen == 2:
                break
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(harness.WAIT_S), 130)
        watch.stdout.close()

    def test_watch_paints_over_itself_on_a_terminal(self):
        parent, child = pty.openpty()
        watch = self.background(harness.PROGRAM, "status", "--watch", self.mounted.path,
                                stdout=child, env=harness.clean_environment())
        os.close(child)
        seen = b""
        deadline = time.monotonic() + harness.WAIT_S
        while seen.count(b"servers") < 2 and time.monotonic() < deadline:
            seen += os.read(parent, 4096)
        watch.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(harness.WAIT_S), 130)
        os.close(parent)
        self.assertRegex(seen, rb"\x1b\[\d+F\x1b\[J")

    def test_refusals(self):
        self.assertIn("not in a mounted tciafs", self.fails(1, "status", self.directory))
        outcome = harness.command("status", "--frobnicate")
        self.assertEqual(outcome.returncode, 2)
        self.mounted.process.send_signal(signal.SIGKILL)
        self.mounted.process.wait()
        self.assertIn(f"tciafs umount {self.mounted.path}",
                      self.fails(1, "status", self.mounted.path))
        self.assertEqual(harness.command("umount", self.mounted.path).returncode, 0)
        self.assertIn("not in a mounted tciafs", self.fails(1, "status", self.mounted.path))

    def test_a_process_that_is_silent_is_named(self):
        self.mounted.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.mounted.process.send_signal, signal.SIGCONT)
        self.assertEqual(self.fails(1, "status", self.mounted.path),
                         f"tciafs: {self.mounted.path}: process {self.mounted.process.pid} does not answer\n")
        self.mounted.process.send_signal(signal.SIGCONT)
        self.assertEqual(harness.command("status", self.mounted.path).returncode, 0)

    @unittest.skipIf(os.getuid() != 0, "mount(8) takes root")
    def test_a_mount_that_is_known_elsewhere_is_not_dead(self):
        other = os.path.join(self.directory, "bound")
        os.mkdir(other)
        harness.run("mount", "--bind", self.mounted / "C", other)
        self.addCleanup(harness.detach, other)
        line = self.fails(1, "status", other)
        self.assertIn(f"{other}: its process is not known here; it was mounted in another place", line)
        self.assertNotIn("umount", line)
        self.assertEqual(harness.command("status", self.mounted.path).returncode, 0)
        harness.detach(other)

    @unittest.skipIf(os.getuid() != 0, "needs another user")
    def test_another_user_is_refused(self):
        os.chmod(self.directory, 0o755)
        program = os.path.join(self.directory, "tciafs")  # where everybody may run it
        shutil.copy(harness.PROGRAM, program)
        outcome = subprocess.run([program, "status", self.mounted.path], capture_output=True,
                                 text=True, user=NOBODY, timeout=harness.WAIT_S, check=False,
                                 env=harness.clean_environment())
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("mounted by root, and only they or root can talk to it", outcome.stderr)
        outcome = subprocess.run([program, "umount", self.mounted.path], capture_output=True,
                                 text=True, user=NOBODY, timeout=harness.WAIT_S, check=False,
                                 env=harness.clean_environment())
        self.assertEqual(outcome.returncode, 1)
        self.assertIn("mounted by root; only they or root can unmount it", outcome.stderr)
        self.assertTrue(harness.is_mounted(self.mounted.path))

    def test_output_that_cannot_be_written(self):
        for words in (["status", self.mounted.path, "--json"],
                      ["status", self.mounted.path, "--watch"],
                      ["cache", "info", "--json", "--cache-dir", self.cache]):
            with open("/dev/full", "wb") as full:
                outcome = subprocess.run([harness.PROGRAM, *words], stdout=full, text=True,
                                         stderr=harness.PIPE, timeout=harness.WAIT_S, check=False,
                                         env=harness.clean_environment())
            self.assertEqual(outcome.returncode, 1, words)
            self.assertRegex(outcome.stderr, "^tciafs: standard output: .+\n$", words)

    def test_watch_ends_with_the_mount(self):
        watching = self.background(harness.PROGRAM, "status", self.mounted.path, "--watch",
                                   stdout=harness.PIPE, stderr=harness.PIPE, text=True,
                                   env=harness.clean_environment())
        watching.stdout.readline()
        self.mounted.unmount()
        _, told = watching.communicate(timeout=harness.WAIT_S)
        self.assertEqual((watching.returncode, told),
                         (1, f"tciafs: {self.mounted.path}: not mounted any more\n"))

    def test_the_channel_takes_anything(self):
        for line in (b"\n", b"status =\n", b"status a=%\n", b"\xff\x00\n", b"x" * 5_000_000 + b"\n"):
            self.assertIn(b"invalid", self.request(line), line[:20])
        self.assertIn(b"unsupported", self.request(b"brew coffee=1\n"))
        self.assertEqual(self.request(b"status\n"), b"done")

    def test_requests_end_with_the_mount(self):
        self.server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        asking = self.asking_in_vain(self.mounted.path, "getCollectionValues", text=True)
        self.mounted.unmount()
        self.assertEqual(asking.wait(harness.WAIT_S), 1)
        self.assertIn("the mount has ended", asking.stderr.read())
        asking.stderr.close()


class Refresh(Asking):
    def test_what_is_new_is_there_at_once(self):
        before = os.listdir(self.mounted / "C")
        self.server.mutate(add_patients={"collection": "C", "count": 1})
        self.assertEqual(os.listdir(self.mounted / "C"), before)
        outcome = harness.command("refresh", self.mounted / "C", self.mounted.path)
        self.assertEqual((outcome.returncode, outcome.stderr), (0, ""))
        self.assertIn("/C: 3 entries, 1 new\n", outcome.stdout)
        self.assertIn("/: 2 entries, names as before\n", outcome.stdout)
        harness.wait_for(lambda: len(os.listdir(self.mounted / "C")) == 3, "the new patient")

    def test_refusals(self):
        self.assertIn("the archive has no such object",
                      self.fails(1, "refresh", self.mounted / "C/nobody"))
        others = harness.command("refresh", self.mounted / "C/nobody", self.mounted / "D")
        self.assertEqual(others.returncode, 1)
        self.assertIn("/D: ", others.stdout)  # what can be refreshed is, whatever comes before it
        self.assertIn("not in a mounted tciafs", self.fails(1, "refresh", "/proc"))
        other = self.mount(self.server, cache=os.path.join(self.directory, "cache2"))
        self.assertIn("in another mount",
                      self.fails(2, "refresh", self.mounted.path, other.path))
        os.listdir(self.mounted / "C")
        self.server.stop()
        self.assertIn("127.0.0.1", self.fails(4, "refresh", self.mounted / "C"))

    def test_ctrl_c(self):
        os.listdir(self.mounted / "C")
        self.server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        asking = self.asking_in_vain(self.mounted / "C", "getPatient")
        asking.send_signal(signal.SIGINT)
        self.assertEqual(asking.wait(harness.WAIT_S), 130)
        self.assertEqual(asking.stderr.read(), b"")
        asking.stderr.close()

    def test_through_a_link_and_a_relative_path(self):
        link = os.path.join(self.directory, "link")
        os.symlink("mnt1", link)
        outcome = harness.command("refresh", "link/C/", cwd=self.directory)
        self.assertIn("/C: 2 entries", outcome.stdout, outcome)


if __name__ == "__main__":
    harness.main()
