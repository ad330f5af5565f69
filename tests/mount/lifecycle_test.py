# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""From `tciafs mount` to `tciafs umount` as a user and as mount(8) run them."""

import errno
import os
import signal
import stat

import harness


class Daemon(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=2,studies=1,series=1,images=2")
        self.mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(self.mountpoint)
        self.addCleanup(harness.detach, self.mountpoint)
        self.log_file = os.path.join(self.directory, "daemon.log")

    def tciafs(self, *arguments, check=True, environment=None, program=harness.PROGRAM):
        return harness.run(program, *arguments, check=check,
                           env=harness.clean_environment(environment))

    def options(self):
        return ["--server", self.server.url, "--cache-dir", self.cache, "--log-file", self.log_file]

    def test_mount_returns_when_it_answers_and_umount_when_it_has_gone(self):
        self.tciafs("mount", *self.options(), self.mountpoint)
        self.assertTrue(harness.is_mounted(self.mountpoint))
        self.assertEqual(os.listdir(self.mountpoint), ["A"])
        self.tciafs("umount", self.mountpoint)
        self.assertFalse(harness.is_mounted(self.mountpoint))
        with open(self.log_file, encoding="utf-8") as log:
            self.assertIn("unmounted", log.read().splitlines()[-1])
        # The cache is free again at once: the daemon has really gone.
        self.tciafs("mount", *self.options(), self.mountpoint)
        self.tciafs("umount", self.mountpoint + "/")

    def test_umount_of_a_mount_in_use(self):
        self.tciafs("mount", *self.options(), self.mountpoint)
        path = os.path.join(self.mountpoint, harness.walk_files(self.mountpoint)[0])
        with open(path, "rb"):
            self.tciafs("umount", self.mountpoint)
        self.assertFalse(harness.is_mounted(self.mountpoint))

    def test_umount_of_a_mount_that_another_namespace_copied(self):
        """As a container or a service of systemd's does. Its copy would keep the process alive."""
        self.tciafs("mount", *self.options(), self.mountpoint)
        copied = self.background("unshare", "--mount", "--propagation", "private", "sh", "-c",
                                 "echo copied; exec sleep 600", stdout=harness.PIPE, text=True)
        if copied.stdout.readline() != "copied\n":
            self.skipTest("no privilege for a mount namespace")
        self.tciafs("umount", self.mountpoint)
        self.assertFalse(harness.is_mounted(self.mountpoint))
        self.assertIsNone(copied.poll())
        self.tciafs("mount", *self.options(), self.mountpoint)  # the cache is free
        self.tciafs("umount", self.mountpoint)

    def test_fusermount_is_enough_to_end_it(self):
        self.tciafs("mount", *self.options(), self.mountpoint)
        harness.run("fusermount3", "-u", self.mountpoint)
        # Whoever mounts next waits for the cache's owner to be gone.
        harness.wait_for(lambda: self.tciafs("mount", *self.options(), self.mountpoint,
                                             check=False).returncode == 0, "mounted again")
        self.tciafs("umount", self.mountpoint)

    def test_umount_cleans_up_a_dead_mount(self):
        mount = harness.Mount(self.mountpoint, self.cache, servers=[self.server.url])
        self.addCleanup(mount.end)
        mount.process.send_signal(signal.SIGKILL)
        mount.process.wait()
        with self.assertRaises(OSError) as failure:
            os.listdir(self.mountpoint)
        self.assertEqual(failure.exception.errno, errno.ENOTCONN)
        self.refused_and_cleaned_up()

    def test_umount_cleans_up_a_dead_mount_that_was_looked_at_and_is_in_use(self):
        """The kernel still knows its root, as if all was well."""
        mount = harness.Mount(self.mountpoint, self.cache, servers=[self.server.url])
        self.addCleanup(mount.end)
        self.assertEqual(os.listdir(self.mountpoint), ["A"])
        os.stat(self.mountpoint)
        path = os.path.join(self.mountpoint, harness.walk_files(self.mountpoint)[0])
        with open(path, "rb"):
            mount.process.send_signal(signal.SIGKILL)
            mount.process.wait()
            os.stat(self.mountpoint)
            self.refused_and_cleaned_up()

    def refused_and_cleaned_up(self):
        refused = self.tciafs("mount", *self.options(), self.mountpoint, check=False)
        self.assertEqual(refused.returncode, 3)
        self.assertIn("dead mount", refused.stderr)
        self.tciafs("umount", self.mountpoint)
        self.tciafs("mount", *self.options(), self.mountpoint)
        self.tciafs("umount", self.mountpoint)

    def test_umount_of_a_used_mount_whose_process_is_not_known(self):
        runtime = {"XDG_RUNTIME_DIR": self.directory}
        mount = harness.Mount(self.mountpoint, self.cache, servers=[self.server.url],
                              environment=runtime)
        self.addCleanup(mount.end)
        path = os.path.join(self.mountpoint, harness.walk_files(self.mountpoint)[0])
        os.unlink(harness.record_of_mount(self.mountpoint, os.path.join(self.directory, "tciafs")))
        with open(path, "rb"):
            refused = self.tciafs("umount", self.mountpoint, check=False, environment=runtime)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("programs use it", refused.stderr)
        self.assertEqual(os.listdir(self.mountpoint), ["A"])

    def test_a_mount_that_ends_late_leaves_its_successor_reachable(self):
        """Its process may outlive its mount, and somebody mount there meanwhile."""
        late = harness.Mount(self.mountpoint, self.cache, servers=[self.server.url])
        self.addCleanup(late.end)
        late.process.send_signal(signal.SIGSTOP)
        self.addCleanup(late.process.send_signal, signal.SIGCONT)
        harness.detach(self.mountpoint)
        self.tciafs("mount", "--server", self.server.url, "--cache-dir", self.cache + "2",
                    self.mountpoint)
        late.process.send_signal(signal.SIGCONT)
        self.assertEqual(late.process.wait(harness.WAIT_S), 0)
        self.assertIn("mounted for", self.tciafs("status", self.mountpoint).stdout)
        self.tciafs("umount", self.mountpoint)

    def test_without_standard_streams(self):
        words = " ".join(["exec", harness.PROGRAM, "mount", *self.options(), self.mountpoint])
        harness.run("sh", "-c", words + " <&- >&- 2>&-", env=harness.clean_environment(), timeout_s=30)
        self.assertEqual(os.listdir(self.mountpoint), ["A"])
        self.tciafs("umount", self.mountpoint)

    def test_nohup_is_respected(self):
        mount = harness.Mount(self.mountpoint, self.cache, servers=[self.server.url],
                              prefix=["nohup"])
        self.addCleanup(mount.end)
        mount.process.send_signal(signal.SIGHUP)
        self.assertEqual(os.listdir(self.mountpoint), ["A"])
        mount.unmount()

    def test_every_tolerated_mount_option_mounts(self):
        words = ("rw,ro,defaults,noauto,user,nofail,_netdev,nosuid,nodev,noexec,relatime,norelatime,"
                 "strictatime,lazytime,nodiratime,noatime,sync,async,noiversion,x-systemd.automount")
        self.tciafs("mount", *self.options(), "-o", words, self.mountpoint)
        self.tciafs("umount", self.mountpoint)

    def test_the_largest_read_of_the_kernel(self):
        self.tciafs("mount", *self.options(), "-o", "max_read=16384", self.mountpoint)
        path, (md5, _) = next(iter(self.server.truth("A").items()))
        self.assertEqual(harness.md5_of(os.path.join(self.mountpoint, path)), md5)
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            self.assertIn("max_read=16384", next(line for line in table if self.mountpoint in line))
        self.tciafs("umount", self.mountpoint)

    def test_the_helper_of_mount_8(self):
        helper = os.path.join(self.directory, "mount.tciafs")
        os.symlink(harness.PROGRAM, helper)
        words = f"rw,_netdev,noauto,x-systemd.automount,cache_dir={self.cache},metadata-ttl=10m"
        self.tciafs(self.server.url, self.mountpoint, "-o", words, program=helper)
        self.assertEqual(os.listdir(self.mountpoint), ["A"])
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            self.assertIn(f" fuse.tciafs {self.server.url} ", table.read())  # mount -a looks for it
        self.tciafs("umount", self.mountpoint)

    def test_settings_from_files_and_environment(self):
        home = os.path.join(self.directory, "home")
        os.makedirs(os.path.join(home, "tciafs"))
        with open(os.path.join(home, "tciafs", "config"), "w", encoding="utf-8") as config:
            config.write(f"# mine\nserver = {self.server.url}\ncache-dir = /nonexistent\n")
        self.tciafs("mount", self.mountpoint,
                    environment={"XDG_CONFIG_HOME": home, "TCIAFS_CACHE_DIR": self.cache})
        self.assertEqual(os.listdir(self.mountpoint), ["A"])
        self.assertTrue(os.path.isdir(self.cache))
        self.tciafs("umount", self.mountpoint)

    def test_it_comes_up_without_the_network_and_says_so(self):
        self.server.stop()
        mounted = self.tciafs("mount", *self.options(), self.mountpoint)
        self.assertRegex(mounted.stderr, r"warning: .*127\.0\.0\.1")
        with self.assertRaises(OSError) as failure:
            os.listdir(self.mountpoint)
        self.assertEqual(failure.exception.errno, errno.EIO)
        self.assertIn(b"127.0.0.1", os.getxattr(self.mountpoint, "user.tcia.error"))
        self.server.restart()
        harness.wait_for(self.lists_again, "the archive is back")
        self.tciafs("umount", self.mountpoint)

    def lists_again(self):
        try:
            return os.listdir(self.mountpoint) == ["A"]
        except OSError:
            return False


class WhatTheMountLooksLike(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")

    def mount_options(self, mount):
        with open("/proc/self/mountinfo", encoding="utf-8") as table:
            return next(line for line in table if line.split()[4] == mount.path)

    def test_kernel_options(self):
        line = self.mount_options(self.mount(self.server))
        fields = line.split()
        self.assertLessEqual({"ro", "nosuid", "nodev", "noexec"}, set(fields[5].split(",")))
        separator = fields.index("-")
        self.assertEqual(fields[separator + 1], "fuse.tciafs")
        self.assertEqual(fields[separator + 2], f"tcia:127.0.0.1:{self.server.port}")

    def test_modes_and_owner(self):
        mount = self.mount(self.server, options=["--uid", "1234", "--gid", "2345", "--umask", "027"])
        directory = os.stat(mount / "A")
        file = os.stat(mount / harness.walk_files(mount.path)[0])
        self.assertEqual(stat.S_IMODE(directory.st_mode), 0o550)
        self.assertEqual(stat.S_IMODE(file.st_mode), 0o440)
        self.assertEqual((file.st_uid, file.st_gid), (1234, 2345))
        self.assertGreater(file.st_mtime, 0)

    def test_extended_attributes(self):
        mount = self.mount(self.server)
        path = mount / harness.walk_files(mount.path)[0]
        self.assertEqual(os.getxattr(path, "user.tcia.cached"), b"0")
        self.assertEqual(os.getxattr(path, "user.tcia.size"), b"advertised")
        md5 = harness.md5_of(path)
        self.assertEqual(os.getxattr(path, "user.tcia.cached"), b"1")
        self.assertEqual(os.getxattr(path, "user.tcia.size"), b"exact")
        self.assertEqual(os.getxattr(path, "user.tcia.md5"), md5.encode())
        self.assertEqual(os.getxattr(os.path.dirname(path), "user.tcia.Modality"), b"CT")
        self.assertIn("user.tcia.Modality", os.listxattr(os.path.dirname(path)))
        # `ls -l` asks for labels and ACLs of every file unless it hears that there are none at all.
        for name, error in (("user.tcia.error", errno.ENODATA), ("user.other", errno.ENODATA),
                            ("security.selinux", errno.ENOTSUP),
                            ("system.posix_acl_access", errno.ENOTSUP)):
            with self.subTest(name), self.assertRaises(OSError) as failure:
                os.getxattr(path, name)
            self.assertEqual(failure.exception.errno, error)


if __name__ == "__main__":
    harness.main()
