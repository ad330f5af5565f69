# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""`cmake --install` puts everything where systems look for it, and what it puts there works."""

import os
import shlex
import socket
import stat

import harness
import installed

OF_USR = [
    "/etc/logrotate.d/tciafs",
    "/usr/bin/tciafs",
    "/usr/lib/systemd/system/plocate-updatedb.service.d/tciafs.conf",
    "/usr/lib/systemd/system/tciafs@.service",
    "/usr/lib/systemd/user/tciafs.service",
    "/usr/share/bash-completion/completions/tciafs",
    "/usr/share/doc/tciafs/containers.md",
    "/usr/share/doc/tciafs/examples/Dockerfile",
    "/usr/share/doc/tciafs/examples/apparmor-fusermount3",
    "/usr/share/doc/tciafs/examples/tciafs.conf",
    "/usr/share/fish/vendor_completions.d/tciafs.fish",
    "/usr/share/man/man1/tciafs.1",
    "/usr/share/man/man5/tciafs-cache.5",
    "/usr/share/man/man5/tciafs.conf.5",
    "/usr/share/man/man7/tciafs.7",
    "/usr/share/man/man8/mount.tciafs.8",
]


class Places(harness.MountCase):
    def test_of_the_system(self):
        for prefix, helper_target in (("/usr", "../bin/tciafs"), ("/usr/local", "../local/bin/tciafs")):
            with self.subTest(prefix=prefix):
                root = os.path.join(self.directory, "root" + prefix.replace("/", "-"))
                names = installed.install(prefix, destdir=root)
                expected = [name.replace("/usr", prefix, 1) for name in OF_USR]
                self.assertEqual([name for name in expected if name not in names], [])
                # mount(8) looks in /sbin, whatever the prefix is.
                helper = os.path.join(root, "usr/sbin/mount.tciafs")
                self.assertEqual(os.readlink(helper), helper_target)
                self.assertTrue(os.path.samefile(helper, root + prefix + "/bin/tciafs"))

    def test_for_everybody_whatever_the_umask_is(self):
        root = os.path.join(self.directory, "root")
        os.mkdir(root, 0o755)
        installed.install("/usr", destdir=root, umask=0o077)
        for directory, _, files in os.walk(root):
            for path in [directory] + [os.path.join(directory, name) for name in files]:
                mode = stat.S_IMODE(os.stat(path).st_mode)
                self.assertIn(mode, (0o755, 0o644), path)

    def test_of_a_directory_stays_inside_it(self):
        prefix = os.path.join(self.directory, "mine")
        names = installed.install(prefix)
        self.assertEqual([name for name in names if not name.startswith(prefix + "/")], [])
        self.assertTrue(os.path.samefile(prefix + "/sbin/mount.tciafs", prefix + "/bin/tciafs"))
        harness.run(prefix + "/bin/tciafs", "--version")


class Units(installed.InstalledCase):
    SYSTEM = "lib/systemd/system/tciafs@.service"
    USER = "lib/systemd/user/tciafs.service"

    def verify(self, unit, *words):
        """What systemd has to say about a unit."""
        done = harness.run("systemd-analyze", "verify", "--man=no", *words, unit, check=False,
                           env=dict(os.environ, XDG_RUNTIME_DIR=self.directory))
        return done.stdout + done.stderr

    def test_systemd_understands_them(self):
        instance = self.path(self.SYSTEM).replace("@.", "@mnt-tcia.")
        self.assertEqual(self.verify(instance), "")
        self.assertEqual(self.verify(self.path(self.USER), "--user"), "")

    def test_systemd_would_notice(self):
        with open(self.path(self.SYSTEM), "a", encoding="utf-8") as unit:
            unit.write("\n[Service]\nRestrat=on-failure\nExecStart=\nExecStart=/nonexistent/tciafs\n")
        complaints = self.verify(self.path(self.SYSTEM).replace("@.", "@mnt-tcia."))
        self.assertIn("Restrat", complaints)
        self.assertIn("/nonexistent/tciafs", complaints)

    def test_the_instance_is_the_mountpoint(self):
        name = harness.run("systemd-escape", "--path", "--template=tciafs@.service", "/mnt/tcia")
        self.assertEqual(name.stdout.strip(), "tciafs@mnt-tcia.service")
        self.assertIn("systemd-escape --path --template=tciafs@.service /mnt/tcia",
                      self.read(self.SYSTEM))
        self.assertIn(f"ExecStart={self.program} mount --foreground --allow-other %f\n",
                      self.read(self.SYSTEM))

    def lines_of(self, unit, key, mountpoint):
        """The commands of a key, as systemd would run them for this mountpoint."""
        return [shlex.split(line.partition("=")[2].replace("%f", mountpoint).replace("%h/tcia", mountpoint))
                for line in self.read(unit).splitlines() if line.startswith(key + "=")]

    def run_all(self, unit, key, mountpoint):
        for command in self.lines_of(unit, key, mountpoint):
            harness.run(*command, env=harness.clean_environment())

    def start(self, unit, mountpoint, environment, listener):
        """Until it says that it is ready."""
        self.run_all(unit, "ExecStartPre", mountpoint)
        command, = self.lines_of(unit, "ExecStart", mountpoint)
        process = self.background(*command, stdin=harness.DISCARD, stderr=harness.DISCARD,
                                  env=harness.clean_environment(environment))
        self.assertIn(b"READY=1", listener.recv(4096))
        self.assertEqual(os.listdir(mountpoint), ["A"])
        return process

    def test_a_life_as_systemd_would_have_it(self):
        """Started, killed and started again, reloaded, stopped; what they run before and after works."""
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        for unit in ([self.SYSTEM] if os.getuid() == 0 else []) + [self.USER]:
            with self.subTest(unit=unit), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
                listener.settimeout(harness.WAIT_S)
                name = os.path.join(self.directory, os.path.basename(unit))
                listener.bind(name + ".socket")
                mountpoint = name + ".mount"
                self.addCleanup(harness.detach, mountpoint)
                environment = {"NOTIFY_SOCKET": listener.getsockname(), "TCIAFS_SERVER": server.url,
                               "TCIAFS_CACHE_DIR": self.cache}
                process = self.start(unit, mountpoint, environment, listener)
                os.stat(mountpoint)  # which the kernel then answers without the process
                process.kill()
                process.wait()
                self.assertTrue(harness.is_mounted(mountpoint))
                self.run_all(unit, "ExecStopPost", mountpoint)
                self.assertFalse(harness.is_mounted(mountpoint))
                process = self.start(unit, mountpoint, environment, listener)
                process.kill()
                process.wait()
                process = self.start(unit, mountpoint, environment, listener)  # over what is left
                for command in self.lines_of(unit, "ExecReload", mountpoint):
                    harness.run(*(word.replace("$MAINPID", str(process.pid)) for word in command))
                process.terminate()
                self.assertIn(b"STOPPING=1", listener.recv(4096))
                self.assertEqual(process.wait(harness.WAIT_S), 0)
                self.run_all(unit, "ExecStopPost", mountpoint)
                self.assertFalse(harness.is_mounted(mountpoint))

    def test_after_the_end_somebody_elses_mount_is_left_alone(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        mount = self.mount(server)
        for place in (mount.path, mount.path + "-that-is-not-there", self.directory):
            self.run_all(self.SYSTEM, "ExecStopPost", place)
        self.assertEqual(os.listdir(mount.path), ["A"])


if __name__ == "__main__":
    harness.main()
