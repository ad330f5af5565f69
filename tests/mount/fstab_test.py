# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Lines of /etc/fstab through mount(8): in a mount namespace of the test's own, where /etc and the
/sbin that mount(8) looks for helpers in are the test's, too."""

import os
import shutil
import signal
import sys

import harness

AUTOMOUNTER = os.path.join(os.path.dirname(harness.__file__), "automounter.py")
NOBODY = 65534


class Fstab(harness.MountCase):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0 and not os.environ.get("TCIAFS_REQUIRE_FUSE"):
            self.skipTest("a mount namespace takes root")
        os.chmod(self.directory, 0o755)
        self.server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        self.log_file = os.path.join(self.directory, "log")
        sbin = os.path.join(self.directory, "sbin")
        os.mkdir(sbin)
        os.symlink(harness.PROGRAM, os.path.join(sbin, "mount.tciafs"))
        self.etc = os.path.join(self.directory, "etc")
        os.mkdir(self.etc)
        for entry in os.scandir("/etc"):  # accounts, libraries, mtab; neither folders nor secrets
            if entry.is_symlink() or entry.is_file() and entry.stat().st_mode & 0o004:
                shutil.copy2(entry.path, self.etc, follow_symlinks=False)
        self.device = os.path.join(self.directory, "fuse")
        os.mknod(self.device, 0o20666, os.makedev(10, 229))
        os.chmod(self.device, 0o666)
        script = (f"mount --bind {sbin} {os.path.realpath('/sbin')} && mount --bind {self.etc} /etc && "
                  f"mount --bind {self.device} /dev/fuse && echo made && exec sleep 600")
        self.holder = self.background("unshare", "--mount", "--propagation", "private", "sh", "-c", script,
                                      stdout=harness.PIPE, text=True)
        self.addCleanup(self.holder.stdout.close)
        self.assertEqual(self.holder.stdout.readline(), "made\n")
        self.mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(self.mountpoint)
        self.addCleanup(self.detach)

    def inside(self, *command, user=None, **options):
        who = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        return harness.run("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", f"--wdns={self.directory}",
                           *who, *command, env=harness.clean_environment(), **options)

    def detach(self):
        """The mount and the process behind it are gone, also after a failure."""
        self.inside("umount", "-l", self.mountpoint, check=False)
        if os.path.exists(self.log_file):
            harness.wait_for(lambda: "unmounted" in self.log() or "mounted on" not in self.log(), "the end")

    def log(self):
        with open(self.log_file, encoding="utf-8") as log:
            return log.read()

    def fstab(self, words, source=None):
        line = (f"{source or self.server.url} {self.mountpoint} tciafs "
                f"{words},cache_dir={self.cache},log_file={self.log_file} 0 0\n")
        with open(os.path.join(self.etc, "fstab"), "w", encoding="utf-8") as file:
            file.write("# a comment\n\n" + line)

    def is_mounted(self):
        return f" {self.mountpoint} " in self.inside("cat", "/proc/self/mountinfo").stdout

    def assert_mounts(self, **keywords):
        self.inside("mount", self.mountpoint, **keywords)
        self.assertEqual(self.inside("ls", self.mountpoint, **keywords).stdout, "A\n")

    def test_at_boot(self):
        """`mount -a` mounts it, and finds it mounted the next time."""
        self.fstab("_netdev,nofail,allow_other,metadata_ttl=10m")
        for _ in range(2):
            self.inside("mount", "-a")
            self.assertEqual(self.inside("ls", self.mountpoint).stdout, "A\n")
            mounts = self.inside("findmnt", "--noheadings", "--output", "FSTYPE,SOURCE", self.mountpoint)
            self.assertEqual(mounts.stdout.split(), ["fuse.tciafs", self.server.url])
        self.assertEqual(self.inside("ls", self.mountpoint, user=NOBODY).stdout, "A\n")
        self.inside("umount", self.mountpoint)
        self.inside("mount", "-a", "-O", "no_netdev")
        self.assertFalse(self.is_mounted())

    def test_every_word_of_mount_and_systemd(self):
        self.fstab("rw,noauto,nouser,owner,group,nofail,_netdev,defaults,relatime,nodiratime,lazytime,sync,async,"
                   "x-systemd.automount,x-systemd.idle-timeout=10min,x-systemd.requires=network-online.target,"
                   "x-gvfs-show,X-mount.mkdir,comment=of=mine,nosymfollow,iversion")
        self.inside("mount", "-a")  # noauto
        self.assertFalse(self.is_mounted())
        self.assert_mounts()
        flags = self.inside("findmnt", "--noheadings", "--output", "VFS-OPTIONS", self.mountpoint).stdout
        self.assertLessEqual({"ro", "nosuid", "nodev", "noexec"}, set(flags.strip().split(",")))

    def test_the_default_source_is_found_mounted(self):
        """With a colon; the servers are those of the configuration file."""
        with open(os.path.join(self.etc, "tciafs.conf"), "w", encoding="utf-8") as config:
            config.write(f"server = {self.server.url}\n")
        self.fstab("_netdev", source="tcia:")
        for _ in range(2):
            self.inside("mount", "-a")
        self.assertEqual(self.inside("ls", self.mountpoint).stdout, "A\n")

    def test_from_another_file(self):
        self.fstab("noauto")
        other = os.path.join(self.directory, "other-fstab")
        os.rename(os.path.join(self.etc, "fstab"), other)
        self.inside("mount", "--fstab", other, self.mountpoint)
        self.assertEqual(self.inside("ls", self.mountpoint).stdout, "A\n")
        self.inside("umount", self.mountpoint)

    def test_by_a_user(self):
        """Who mounts owns it, alone sees it, and may unmount it."""
        os.mkdir(self.cache)
        for path in (self.mountpoint, self.cache):
            os.chown(path, NOBODY, NOBODY)
        with open(self.log_file, "w", encoding="utf-8"):
            os.chown(self.log_file, NOBODY, NOBODY)
        self.fstab("noauto,user,_netdev")
        self.assert_mounts(user=NOBODY)
        self.assertNotEqual(self.inside("ls", self.mountpoint, check=False).returncode, 0)
        self.inside("umount", self.mountpoint, user=NOBODY)
        self.assertFalse(self.is_mounted())
        harness.wait_for(lambda: "unmounted" in self.log(), "the process has ended")

    def test_by_a_user_with_the_users_cache(self):
        """mount(8) leaves HOME out of what it hands down."""
        home = os.path.join(self.directory, "home")
        os.mkdir(home)
        for path in (self.mountpoint, home):
            os.chown(path, NOBODY, NOBODY)
        with open(os.path.join(self.etc, "passwd"), "w", encoding="utf-8") as accounts:
            accounts.write(f"root:x:0:0::/root:/bin/sh\nsomeone:x:{NOBODY}:{NOBODY}::{home}:/bin/sh\n")
        with open(os.path.join(self.etc, "fstab"), "w", encoding="utf-8") as file:
            file.write(f"{self.server.url} {self.mountpoint} tciafs noauto,user,_netdev 0 0\n")
        self.assert_mounts(user=NOBODY)
        self.assertTrue(os.path.isdir(home + "/.cache/tciafs"))
        self.inside(harness.PROGRAM, "umount", self.mountpoint, user=NOBODY)
        self.assertFalse(self.is_mounted())

    def test_when_somebody_looks(self):
        """Under autofs, where a process that leaves the group of who mounts has to wait for the mount."""
        self.fstab("noauto,x-systemd.automount,_netdev,allow_other")
        waiting = self.background(
            "nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt", sys.executable, AUTOMOUNTER, self.mountpoint,
            "mount", self.mountpoint, stdout=harness.PIPE, text=True, env=harness.clean_environment())
        self.addCleanup(waiting.stdout.close)
        self.assertEqual(waiting.stdout.readline(), "waiting\n")
        seen = self.inside("ls", self.mountpoint, user=NOBODY, timeout_s=harness.WAIT_S)
        self.assertEqual(seen.stdout, "A\n")
        self.assertEqual(waiting.wait(harness.WAIT_S), 0)
        self.inside("umount", self.mountpoint)

    def test_without_the_network(self):
        """As at boot before it is there: a warning, and the mount stands."""
        self.server.stop()
        self.fstab("_netdev,nofail")
        mounted = self.inside("mount", "-a")
        self.assertIn("warning: ", mounted.stderr)
        self.assertTrue(self.is_mounted())

    def test_what_is_wrong_is_told(self):
        for words, code, told in (("colour=blue", 2, "unknown mount option 'colour'"),
                                  ("cache_size=lots", 2, "cache_size"), ("credentials=/nonexistent", 5, "/nonexistent")):
            with self.subTest(words=words):
                self.fstab(words)
                refused = self.inside("mount", self.mountpoint, check=False)
                self.assertEqual(refused.returncode, code)
                self.assertIn(told, refused.stderr)
                self.assertFalse(self.is_mounted())
        self.fstab("colour=blue")
        self.inside("mount", "-s", self.mountpoint)
        self.assertTrue(self.is_mounted())

    def test_faked(self):
        self.fstab("noauto")
        self.inside("mount", "--fake", "--verbose", "--no-mtab", self.mountpoint)
        self.assertFalse(self.is_mounted())

    def test_over_a_dead_one(self):
        self.fstab("noauto")
        self.assert_mounts()
        mounted = self.inside("cat", "/proc/self/mountinfo").stdout
        self.assertIn(self.mountpoint, mounted)
        process = self.serving_process()
        os.kill(process, signal.SIGKILL)
        harness.wait_for(lambda: not os.path.exists(f"/proc/{process}"), "it has gone")
        self.inside(harness.PROGRAM, "umount", "--dead", self.mountpoint)
        self.assertFalse(self.is_mounted())
        with open(self.log_file, "a", encoding="utf-8") as log:
            log.write("unmounted, as far as the end of this test is concerned\n")

    def serving_process(self):
        """The one that has this case's log open."""
        for entry in os.listdir("/proc"):
            try:
                links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
            except OSError:
                continue
            if self.log_file in links:
                return int(entry)
        raise AssertionError("nobody writes the log")


if __name__ == "__main__":
    harness.main()
