# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""A /dev/fuse that somebody else opened and mounted with, handed over as /dev/fd/N."""

import ctypes
import glob
import os
import signal
import stat
import subprocess

import harness

NOBODY = 65534
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
ALWAYS = MS_NOSUID | MS_NODEV | MS_NOEXEC
LIBC = ctypes.CDLL(None, use_errno=True)


class HandedOver(harness.MountCase):
    def setUp(self):
        super().setUp()
        if os.getuid() != 0 and not os.environ.get("TCIAFS_REQUIRE_FUSE"):
            self.skipTest("mount(2) takes root")
        self.server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=2")
        os.chmod(self.directory, 0o755)
        self.mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(self.mountpoint)
        self.log_file = os.path.join(self.directory, "log")

    def mount_here(self, flags=MS_RDONLY | ALWAYS):
        """As a container's runtime would do it; the device."""
        device = os.open("/dev/fuse", os.O_RDWR)
        self.addCleanup(lambda: os.close(device) if self.holds_device else None)
        self.holds_device = True
        data = f"fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other"
        failed = LIBC.mount(b"tcia:test", self.mountpoint.encode(), b"fuse.tciafs", flags, data.encode())
        self.assertEqual(failed, 0, os.strerror(ctypes.get_errno()))
        self.addCleanup(harness.detach, self.mountpoint)
        return device

    def hand_over(self, device, *options, prefix=(), environment=None):
        with open(self.log_file, "ab") as log:
            process = subprocess.Popen(
                [*prefix, harness.PROGRAM, "mount", "--foreground", "--server", self.server.url, "--cache-dir",
                 self.cache, *options, f"/dev/fd/{device}"], pass_fds=[device], stdin=harness.DISCARD,
                stdout=log, stderr=log, env=harness.clean_environment(environment),
                preexec_fn=harness.die_with_parent(signal.SIGTERM))
        self.addCleanup(harness.end_process, process)
        self.close(device)
        return process

    def close(self, device):
        """Whoever keeps it keeps the mount alive after the end of the process that serves it."""
        os.close(device)
        self.holds_device = False

    def assert_served(self):
        truth = self.server.truth("A")
        self.assertEqual(harness.walk_files(self.mountpoint), sorted(truth))
        for path, (md5, _) in truth.items():
            self.assertEqual(harness.md5_of(os.path.join(self.mountpoint, path)), md5)

    def test_served_until_it_is_unmounted(self):
        process = self.hand_over(self.mount_here())
        self.assert_served()
        harness.run("umount", self.mountpoint)
        self.assertEqual(process.wait(harness.WAIT_S), 0)

    def test_served_without_any_privilege(self):
        """Neither a capability nor a setuid program, and no device of its own."""
        os.mkdir(self.cache)
        os.chown(self.cache, NOBODY, NOBODY)
        process = self.hand_over(self.mount_here(), prefix=[
            "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all"], environment={"XDG_RUNTIME_DIR": self.directory})
        self.assert_served()
        # The directory of the session is root's: the record goes where others look, too.
        pids = []
        for record in glob.glob(f"/tmp/tciafs-{NOBODY}/*.mount"):
            with open(record, encoding="utf-8") as lines:
                pids.append(int(lines.readline()))
        self.assertIn(process.pid, pids)
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
            self.assertIn("CapEff:\t0000000000000000\n", status.read())
        harness.run("umount", self.mountpoint)
        self.assertEqual(process.wait(harness.WAIT_S), 0)

    def test_nothing_is_mounted_with_it(self):
        """Ready is only who has talked with the kernel, also where others wait for that."""
        device = os.open("/dev/fuse", os.O_RDWR)
        self.addCleanup(os.close, device)
        for options in ((), ("--foreground",)):
            done = harness.run(harness.PROGRAM, "mount", *options, "--offline", "--cache-dir", self.cache,
                               f"/dev/fd/{device}", check=False, pass_fds=[device],
                               env=harness.clean_environment())
            self.assertEqual(done.returncode, 3, done)
            self.assertIn("the connection to the kernel failed: ", done.stderr)

    def test_asked_to_end(self):
        """The mount is not its to take away: what it leaves is a dead one, which umount cleans up."""
        process = self.hand_over(self.mount_here())
        self.assert_served()
        process.terminate()
        self.assertEqual(process.wait(harness.WAIT_S), 0)
        self.assertTrue(harness.is_mounted(self.mountpoint))
        self.assertEqual(harness.failure_of(os.statvfs, self.mountpoint), "ENOTCONN")
        harness.run(harness.PROGRAM, "umount", self.mountpoint, env=harness.clean_environment())
        self.assertFalse(harness.is_mounted(self.mountpoint))

    def test_in_the_background(self):
        device = self.mount_here()
        harness.run(harness.PROGRAM, "mount", "--server", self.server.url, "--cache-dir", self.cache,
                    "--log-file", self.log_file, f"/dev/fd/{device}", pass_fds=[device],
                    env=harness.clean_environment())
        self.close(device)
        self.assert_served()
        harness.run("umount", self.mountpoint)
        harness.wait_for(lambda: "unmounted" in self.log(), "the process has ended")

    def log(self):
        with open(self.log_file, encoding="utf-8") as log:
            return log.read()

    def test_read_only_whatever_the_mount_is(self):
        process = self.hand_over(self.mount_here(flags=ALWAYS))
        self.assert_served()
        path = os.path.join(self.mountpoint, sorted(self.server.truth("A"))[0])
        for call, arguments in ((os.mkdir, (self.mountpoint + "/B",)), (os.unlink, (path,)),
                                (os.open, (path, os.O_WRONLY)), (os.truncate, (path, 0)),
                                (os.open, (self.mountpoint + "/new", os.O_CREAT | os.O_WRONLY)),
                                (os.chmod, (path, 0o777)), (os.rename, (path, path + "x")),
                                (os.symlink, ("x", self.mountpoint + "/x")),
                                (os.link, (path, path + "x")), (os.utime, (path,)),
                                (os.mknod, (self.mountpoint + "/n", stat.S_IFREG | 0o600)),
                                (os.setxattr, (path, "user.x", b"y"))):
            self.assertIn(harness.failure_of(call, *arguments), ("EROFS", "EACCES", "EPERM"), call.__name__)
        self.assert_served()
        harness.run("umount", self.mountpoint)
        self.assertEqual(process.wait(harness.WAIT_S), 0)

    def test_two_at_once(self):
        first = self.hand_over(self.mount_here())
        self.assert_served()
        other = self.mount(self.server, cache=os.path.join(self.directory, "cache2"))
        self.assertEqual(os.listdir(other.path), ["A"])
        other.unmount()
        self.assert_served()
        harness.run("umount", self.mountpoint)
        self.assertEqual(first.wait(harness.WAIT_S), 0)

    def test_mount_fuse3_hands_over_too(self):
        helper = os.path.join(self.directory, "mount.tciafs")
        os.symlink(harness.PROGRAM, helper)
        self.addCleanup(harness.detach, self.mountpoint)
        harness.run("mount.fuse3", f"{helper}#{self.server.url}", self.mountpoint, "-o",
                    f"drop_privileges,allow_other,cache_dir={self.cache},log_file={self.log_file}",
                    env=harness.clean_environment())
        self.assert_served()
        harness.run("umount", self.mountpoint)
        harness.wait_for(lambda: "unmounted" in self.log(), "the process has ended")

    def test_the_doctor_knows_it(self):
        """`doctor` in the place of `mount`, as the manual says."""
        device = os.open("/dev/fuse", os.O_RDWR)
        self.addCleanup(os.close, device)
        for number, code, told in ((device, 0, "is a device handed over"), (9999, 3, "Bad file descriptor")):
            done = harness.run(harness.PROGRAM, "doctor", "--offline", "--cache-dir", self.cache,
                               f"/dev/fd/{number}", pass_fds=[device], env=harness.clean_environment(), check=False)
            self.assertEqual(done.returncode, code, done.stdout)
            self.assertIn(f"/dev/fd/{number}", done.stdout)
            self.assertIn(told, done.stdout)

    def test_what_is_not_the_device(self):
        with open("/dev/null", "rb") as null:
            for number in (null.fileno(), 9999, 1):
                refused = harness.run(harness.PROGRAM, "mount", "--cache-dir", self.cache, f"/dev/fd/{number}",
                                      pass_fds=[null.fileno()], env=harness.clean_environment(), check=False)
                self.assertEqual(refused.returncode, 3)
                self.assertIn(f"/dev/fd/{number}: ", refused.stderr)


if __name__ == "__main__":
    harness.main()
