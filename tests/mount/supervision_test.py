# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""A mount as a service manager sees it: what it is told, what signals do, where the log goes."""

import fcntl
import os
import pty
import signal
import socket
import subprocess
import termios

import harness


class SupervisedCase(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=2,studies=1,series=1,images=2")

    def in_a_session(self, *options, **keywords):
        """In the foreground, without a terminal, as a service is."""
        return self.mount(self.server, prefix=["setsid"], options=options, **keywords)

    def wait_for_line(self, path, text):
        def there():
            with open(path, encoding="utf-8") as log:
                return text in log.read()
        harness.wait_for(lambda: os.path.exists(path) and there(), f"'{text}' in the log")


class Notified(SupervisedCase):
    """$NOTIFY_SOCKET, as sd_notify(3) describes it."""

    def listen(self, name):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.settimeout(harness.WAIT_S)
        listener.bind(name.replace("@", "\0") if name.startswith("@") else name)
        return listener

    def next_of(self, listener):
        return dict(line.split("=", 1) for line in listener.recv(4096).decode().splitlines())

    def test_from_ready_to_the_end(self):
        for name in (os.path.join(self.directory, "notify"), f"@tciafs-test-{os.getpid()}"):
            for end in (lambda mount: mount.unmount(),
                        lambda mount: mount.process.send_signal(signal.SIGTERM)):
                listener = self.listen(name)
                mount = self.in_a_session(environment={"NOTIFY_SOCKET": name})
                ready = self.next_of(listener)
                self.assertEqual(ready, {"READY": "1", "STATUS": f"mounted on {mount.path}"})
                self.assertEqual(os.listdir(mount.path), ["A"])
                end(mount)
                self.assertEqual(self.next_of(listener)["STOPPING"], "1")
                self.assertEqual(mount.process.wait(harness.WAIT_S), 0)
                self.assertFalse(harness.is_mounted(mount.path))
                listener.close()
                if os.path.exists(name):
                    os.unlink(name)

    def test_ready_without_the_network_and_why(self):
        listener = self.listen(os.path.join(self.directory, "notify"))
        self.server.stop()
        self.in_a_session(environment={"NOTIFY_SOCKET": listener.getsockname()})
        ready = self.next_of(listener)
        self.assertEqual(ready["READY"], "1")
        self.assertRegex(ready["STATUS"], r"^mounted on .*; .*127\.0\.0\.1")

    def test_told_why_it_failed(self):
        listener = self.listen(os.path.join(self.directory, "notify"))
        for mountpoint, cache, reason in ((self.directory, self.cache, "not empty"),
                                          (os.path.join(self.directory, "mnt"), "/proc/cache", "/proc/cache")):
            os.makedirs(mountpoint, exist_ok=True)
            failed = harness.run(harness.PROGRAM, "mount", "-f", "--cache-dir", cache, mountpoint, check=False,
                                 env=harness.clean_environment({"NOTIFY_SOCKET": listener.getsockname()}))
            self.assertNotEqual(failed.returncode, 0)
            told = self.next_of(listener)
            self.assertNotIn("READY", told)
            self.assertIn(reason, told["STATUS"])

    def test_nobody_is_told_by_a_mount_in_the_background(self):
        """It left the service that it was started from."""
        listener = self.listen(os.path.join(self.directory, "notify"))
        mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(mountpoint)
        self.addCleanup(harness.detach, mountpoint)
        environment = harness.clean_environment({"NOTIFY_SOCKET": listener.getsockname()})
        harness.run(harness.PROGRAM, "mount", "--server", self.server.url, "--cache-dir", self.cache,
                    mountpoint, env=environment)
        harness.run(harness.PROGRAM, "umount", mountpoint, env=environment)
        listener.setblocking(False)
        self.assertRaises(BlockingIOError, listener.recv, 1)


class Journal(SupervisedCase):
    def test_lines_begin_with_their_priority(self):
        mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(mountpoint)
        self.addCleanup(harness.detach, mountpoint)
        self.server.stop()
        path = os.path.join(self.directory, "journal")
        with open(path, "wb") as stream:
            status = os.fstat(stream.fileno())
            process = self.background(
                harness.PROGRAM, "mount", "-f", "--server", self.server.url, "--cache-dir", self.cache,
                mountpoint, stderr=stream, stdin=harness.DISCARD,
                env=harness.clean_environment({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}))
        self.wait_for_line(path, "<6>mounted on " + mountpoint)
        self.wait_for_line(path, "<4>")
        process.terminate()
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        with open(path, encoding="utf-8") as journal:
            for line in journal:
                self.assertRegex(line, "^<[3467]>[^<]")


class Signals(SupervisedCase):
    def setUp(self):
        super().setUp()
        self.log_file = os.path.join(self.directory, "logs", "tciafs.log")
        os.mkdir(os.path.dirname(self.log_file))

    def test_usr2_changes_the_level(self):
        mount = self.in_a_session("--log-file", self.log_file, log_level="warning")
        self.wait_until_it_takes_signals(mount)
        with open(self.log_file, encoding="utf-8") as log:
            self.assertNotIn(" debug ", log.read())
        mount.process.send_signal(signal.SIGUSR2)
        self.wait_for_line(self.log_file, "the log's level is now debug")
        harness.md5_of(mount / harness.walk_files(mount.path)[0])
        self.wait_for_line(self.log_file, " debug ")
        mount.process.send_signal(signal.SIGUSR2)
        self.wait_for_line(self.log_file, "the log's level is now warning")
        self.assertEqual(os.listdir(mount.path), ["A"])
        mount.unmount()

    def wait_until_it_takes_signals(self, mount):
        """Until then they wait, as all of a process's threads block them."""
        self.assertEqual(os.listdir(mount.path), ["A"])

    def test_hup_opens_the_log_file_anew(self):
        mount = self.in_a_session("--log-file", self.log_file)
        self.wait_for_line(self.log_file, "mounted on")
        os.rename(self.log_file, self.log_file + ".old")
        mount.process.send_signal(signal.SIGHUP)
        self.wait_for_line(self.log_file, "opened anew")
        self.assertEqual(os.listdir(mount.path), ["A"])
        mount.unmount()
        self.wait_for_line(self.log_file, "unmounted")

    def test_hup_when_the_log_file_cannot_be_opened_anew(self):
        mount = self.in_a_session("--log-file", self.log_file)
        self.wait_for_line(self.log_file, "mounted on")
        old = self.log_file + ".old"
        os.rename(self.log_file, old)
        os.mkdir(self.log_file)
        mount.process.send_signal(signal.SIGHUP)
        self.wait_for_line(old, "the log goes on in the old file")
        mount.unmount()
        self.wait_for_line(old, "unmounted")

    def test_logrotate(self):
        """With the file that is installed, for another directory; who else has the log open lives."""
        mount = self.in_a_session("--log-file", self.log_file)
        self.wait_for_line(self.log_file, "mounted on")
        reader = self.background("tail", "-n", "+1", "-f", self.log_file, stdout=harness.PIPE)
        self.addCleanup(reader.stdout.close)
        self.assertTrue(reader.stdout.readline())  # it has opened it
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        with open(os.path.join(root, "cmake", "package", "logrotate.conf"), encoding="utf-8") as given:
            text = given.read().replace("/var/log/tciafs", os.path.dirname(self.log_file))
        config = os.path.join(self.directory, "logrotate.conf")
        with open(config, "w", encoding="utf-8") as changed:
            changed.write(text)
        os.chmod(config, 0o644)
        harness.run("logrotate", "--force", "--state", os.path.join(self.directory, "state"), config)
        self.wait_for_line(self.log_file, "opened anew")
        self.wait_for_line(self.log_file + ".1", "mounted on")
        self.assertIsNone(reader.poll())
        mount.unmount()
        self.wait_for_line(self.log_file, "unmounted")

    def test_hup_without_a_log_file_or_a_terminal_is_nothing(self):
        mount = self.in_a_session()
        mount.process.send_signal(signal.SIGHUP)
        mount.process.send_signal(signal.SIGUSR2)  # taken after it
        self.wait_for_line(mount.log_path, "the log's level is now")
        self.assertEqual(os.listdir(mount.path), ["A"])
        mount.unmount()

    def on_a_terminal(self, *options):
        """(process, master): in the foreground of a terminal of its own."""
        mountpoint = os.path.join(self.directory, "mnt")
        os.makedirs(mountpoint, exist_ok=True)
        self.addCleanup(harness.detach, mountpoint)
        master, slave = pty.openpty()
        self.addCleanup(lambda: os.close(master) if self.master_is_open else None)
        self.master_is_open = True

        def prepare():
            harness.die_with_parent(signal.SIGTERM)()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        process = subprocess.Popen(
            [harness.PROGRAM, "mount", "-f", "--server", self.server.url, "--cache-dir", self.cache, *options,
             mountpoint], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=prepare,
            env=harness.clean_environment())
        self.addCleanup(harness.end_process, process)
        os.close(slave)
        harness.wait_for(lambda: harness.is_mounted(mountpoint) or process.poll() is not None, "mounted")
        self.assertEqual(os.listdir(mountpoint), ["A"])
        return process, master, mountpoint

    def test_closing_the_terminal_ends_it(self):
        for options in ((), ("--log-file", self.log_file)):
            with self.subTest(options=options):
                process, master, mountpoint = self.on_a_terminal(*options)
                os.close(master)
                self.master_is_open = False
                self.assertEqual(process.wait(harness.WAIT_S), 0)
                self.assertFalse(harness.is_mounted(mountpoint))

    def test_hup_from_a_shell_that_ends(self):
        process, _, mountpoint = self.on_a_terminal()
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        self.assertFalse(harness.is_mounted(mountpoint))

    def test_hup_from_logrotate_on_a_terminal(self):
        process, _, mountpoint = self.on_a_terminal("--log-file", self.log_file)
        process.send_signal(signal.SIGHUP)
        self.wait_for_line(self.log_file, "opened anew")
        self.assertEqual(os.listdir(mountpoint), ["A"])


class InAContainer(SupervisedCase):
    """As process 1, which the kernel spares signals that nobody waits for, in namespaces of its own."""

    def setUp(self):
        super().setUp()
        if os.getuid() != 0 and not os.environ.get("TCIAFS_REQUIRE_FUSE"):
            self.skipTest("namespaces take root")
        self.mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(self.mountpoint)
        self.log_file = os.path.join(self.directory, "log")
        self.container = self.background(
            "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
            harness.PROGRAM, "mount", "--foreground", "--server", self.server.url, "--cache-dir", self.cache,
            "--log-file", self.log_file, self.mountpoint, stdin=harness.DISCARD, env=harness.clean_environment())
        self.wait_for_line(self.log_file, "mounted on")
        with open(f"/proc/{self.container.pid}/task/{self.container.pid}/children", encoding="utf-8") as children:
            self.process = int(children.read().split()[0])

    def inside(self, *command, **options):
        return harness.run("nsenter", f"--target={self.process}", "--mount", "--pid", *command,
                           env=harness.clean_environment(), **options)

    def test_it_is_found_and_ended_from_inside(self):
        self.assertEqual(self.inside("ls", self.mountpoint).stdout, "A\n")
        self.inside(harness.PROGRAM, "status", self.mountpoint)
        path = os.path.join(self.mountpoint, sorted(self.server.truth("A"))[0])
        script = f'exec 3<{path}; exec "$0" umount {self.mountpoint}'
        # It ends with the mount, and takes whoever is in the container along.
        self.inside("sh", "-c", script, harness.PROGRAM, check=False)
        self.assertEqual(self.container.wait(harness.WAIT_S), 0)
        self.wait_for_line(self.log_file, "unmounted")

    def test_it_is_stopped_from_outside(self):
        self.assertEqual(self.inside("ls", self.mountpoint).stdout, "A\n")
        os.kill(self.process, signal.SIGTERM)
        self.assertEqual(self.container.wait(harness.WAIT_S), 0)
        self.wait_for_line(self.log_file, "unmounted")


if __name__ == "__main__":
    harness.main()
