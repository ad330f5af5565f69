# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""tciafs login and logout: on a terminal and without one, and mounts that use what it got."""

import errno
import os
import pty
import select
import signal
import socket
import stat
import subprocess
import termios
import time

import harness

COLLECTIONS = ("--synthetic", "Open:patients=1,studies=1,series=1,images=2",
               "--synthetic", "Closed:patients=1,studies=1,series=1,images=2",
               "--restricted", "Closed=alice", "--user", "alice:wonder land", "--user", "bob:builder")
SECRET = "wonder land"


class Terminal:
    """A command on a terminal of its own; what it shows is kept."""

    def __init__(self, *words, environment):
        self.master, slave = pty.openpty()
        self._slave = os.dup(slave)
        self.process = subprocess.Popen(
            [harness.PROGRAM, *words], stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True, preexec_fn=harness.die_with_parent(signal.SIGKILL))
        os.close(slave)
        self.shown = ""

    def wait_for(self, text):
        deadline = time.monotonic() + harness.WAIT_S
        while text not in self.shown:
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"'{text}' is not shown: {self.shown}")
            self.shown += os.read(self.master, 4096).decode()

    def type(self, text):
        os.write(self.master, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def end(self):
        """Its exit code."""
        code = self.process.wait(harness.WAIT_S)
        while select.select([self.master], [], [], 0)[0]:
            self.shown += os.read(self.master, 4096).decode()
        return code

    def close(self):
        harness.end_process(self.process)
        os.close(self.master)
        os.close(self._slave)


class Logins(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.state = os.path.join(self.directory, "state")
        self.environment = {"XDG_STATE_HOME": self.state}

    def run_command(self, *words, typed=""):
        return subprocess.run([harness.PROGRAM, *words], input=typed, capture_output=True, text=True,
                              timeout=60, check=False,
                              env=harness.clean_environment(self.environment))

    def login(self, server, user="alice", password=SECRET):
        outcome = self.run_command("login", server.url, typed=f"{user}\n{password}\n")
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertIn(f"as {user}.", outcome.stdout)
        self.assertNotIn(password, outcome.stdout + outcome.stderr)

    def files(self):
        return [os.path.join(self.state, name) for name in harness.walk_files(self.state)]

    def stored(self):
        """The token of the only login."""
        with open(self.files()[0], encoding="utf-8") as file:
            return dict(line.strip().split(" = ", 1) for line in file if " = " in line)["token"]

    def mounted(self, server, *options, **keywords):
        return self.mount(server, options=["--api", "v2", *options], environment=self.environment,
                          **keywords)

    def test_on_a_terminal(self):
        server = self.archive(*COLLECTIONS)
        terminal = Terminal("login", server.url + "/",
                            environment=harness.clean_environment(self.environment))
        self.addCleanup(terminal.close)
        terminal.wait_for("User name at 127.0.0.1")
        terminal.type("alice\n")
        terminal.wait_for("Password of alice (not shown): ")
        harness.wait_for(lambda: not terminal.echoes(), "nothing is echoed")
        with open(f"/proc/{terminal.process.pid}/cmdline", "rb") as words:
            self.assertNotIn(b"wonder", words.read())
        terminal.type(SECRET + "\n")
        self.assertEqual(terminal.end(), 0, terminal.shown)
        self.assertTrue(terminal.echoes())
        self.assertNotIn("wonder", terminal.shown)
        self.assertIn("Logged in to 127.0.0.1", terminal.shown)
        self.assertEqual(sorted(os.listdir(self.mounted(server).path)), ["Closed", "Open"])

    def test_interrupted_at_the_password(self):
        server = self.archive(*COLLECTIONS)
        for interrupt in (signal.SIGINT, signal.SIGTERM):
            terminal = Terminal("login", server.url, "--username", "alice",
                                environment=harness.clean_environment(self.environment))
            self.addCleanup(terminal.close)
            terminal.wait_for("Password")
            harness.wait_for(lambda t=terminal: not t.echoes(), "nothing is echoed")
            terminal.process.send_signal(interrupt)
            self.assertEqual(terminal.end(), 130)
            self.assertTrue(terminal.echoes())
        self.assertEqual(self.files(), [])

    def test_nobody_else_can_read_it(self):
        server = self.archive(*COLLECTIONS)
        self.login(server)
        paths = self.files()
        self.assertEqual(len(paths), 1)
        self.assertEqual(stat.S_IMODE(os.stat(paths[0]).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(paths[0])).st_mode), 0o700)
        with open(paths[0], encoding="utf-8") as file:
            self.assertNotIn("wonder", file.read())

    def test_failures(self):
        server = self.archive(*COLLECTIONS)
        wrong = self.run_command("login", server.url, "--username", "alice", typed="hidden\n")
        self.assertEqual(wrong.returncode, 5)
        self.assertIn("user name or password is wrong", wrong.stderr)
        self.assertNotIn("hidden", wrong.stderr + wrong.stdout)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/nbia-api"
        absent = self.run_command("login", url, typed="alice\nhidden\n")
        self.assertEqual(absent.returncode, 4, absent.stderr)
        self.assertIn("refused", absent.stderr)
        self.assertEqual(self.run_command("login", "nothing").returncode, 2)
        self.assertEqual(self.run_command("login", server.url, typed="\n\n").returncode, 5)
        self.assertEqual(self.run_command("logout", server.url).returncode, 1)
        plain = self.run_command("login", "http://nothing.invalid/nbia-api", typed="a\nb\n")
        self.assertEqual(plain.returncode, 4)
        self.assertIn("without encryption; use https", plain.stderr)
        self.assertEqual(self.files(), [])

    def test_a_mount_renews_it(self):
        server = self.archive(*COLLECTIONS, "--token-life-s", "2", "--client-id", "private")
        self.login(server)
        first = self.stored()
        mount = self.mounted(server, "--metadata-ttl", "1s")
        self.assertEqual(sorted(os.listdir(mount.path)), ["Closed", "Open"])
        second = self.stored()
        self.assertNotEqual(first, second)

        def renewed():
            os.listdir(mount.path)
            return self.stored() != second
        harness.wait_for(renewed, "the token was renewed")
        self.assertNotIn(self.stored(), mount.log())
        self.assertEqual(harness.command("doctor", "--server", server.url, "--cache-dir",
                                         self.cache + "2", environment=self.environment).returncode, 0)

    def test_the_end_of_a_login(self):
        server = self.archive(*COLLECTIONS)
        self.login(server)
        server.restart()  # as a server that keeps logins in memory
        mount = self.mounted(server)
        with self.assertRaises(OSError) as failure:
            os.listdir(mount.path)
        self.assertEqual(failure.exception.errno, errno.EACCES)
        self.assertIn(f"log in again: tciafs login {server.url}",
                      os.getxattr(mount.path, "user.tcia.error").decode())
        doctor = harness.command("doctor", "--server", server.url, "--api", "v2", "--cache-dir",
                                 self.cache + "2", environment=self.environment)
        self.assertEqual(doctor.returncode, 5, doctor.stdout)
        self.assertIn("log in again", doctor.stdout)
        self.login(server)

        def works():
            try:
                return sorted(os.listdir(mount.path)) == ["Closed", "Open"]
            except OSError:
                return False
        harness.wait_for(works, "the mount uses the new login")

    def test_logout(self):
        server = self.archive(*COLLECTIONS)
        self.login(server)
        self.login(server, "bob", "builder")
        one = self.run_command("logout", server.url, "--username", "bob")
        self.assertEqual(one.returncode, 0, one.stderr)
        self.assertRegex(one.stdout, "login of bob is forgotten here, and the server has ended it")
        self.assertEqual(len(self.files()), 1)
        token = self.stored()
        server.stop()
        two = self.run_command("logout", server.url)
        self.assertEqual(two.returncode, 0, two.stderr)
        self.assertRegex(two.stdout, "login of alice is forgotten here; the server could not be told")
        self.assertNotIn(token, two.stdout)
        self.assertEqual(self.files(), [])

    def test_a_server_that_does_not_end_logins(self):
        server = self.archive(*COLLECTIONS)
        self.login(server)
        server.plan({"endpoint": "*logout*", "times": -1, "action": "status", "code": 404})
        outcome = self.run_command("logout", server.url)
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertIn("does not end logins when asked", outcome.stdout)
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    harness.main()
