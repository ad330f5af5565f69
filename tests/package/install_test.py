# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""`cmake --install` puts everything where systems look for it, and what it puts there works."""

import os
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
                for directory, _, files in os.walk(root):
                    self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode) & 0o022, 0, directory)
                    self.assertTrue(all(os.path.lexists(os.path.join(directory, name))
                                        for name in files))
                # mount(8) looks in /sbin, whatever the prefix is.
                helper = os.path.join(root, "usr/sbin/mount.tciafs")
                self.assertEqual(os.readlink(helper), helper_target)
                self.assertTrue(os.path.samefile(helper, root + prefix + "/bin/tciafs"))

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

    def test_what_they_run_after_the_end(self):
        """Cleans up a mount whose process was killed, and leaves everything else alone."""
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        line = next(line for line in self.read(self.SYSTEM).splitlines()
                    if line.startswith("ExecStopPost="))

        def after_the_end(mountpoint):
            harness.run(*line.removeprefix("ExecStopPost=").replace("%f", mountpoint).split(),
                        env=harness.clean_environment())
        mount = self.mount(server)
        after_the_end(mount.path)
        self.assertEqual(os.listdir(mount.path), ["A"])
        os.stat(mount.path)  # which the kernel then answers without the process
        mount.process.kill()
        mount.process.wait()
        self.assertTrue(harness.is_mounted(mount.path))
        after_the_end(mount.path)
        self.assertFalse(harness.is_mounted(mount.path))
        after_the_end(mount.path)
        after_the_end(mount.path + "-that-is-not-there")


if __name__ == "__main__":
    harness.main()
