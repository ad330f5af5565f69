# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Bad input: one clear line, the documented exit code or errno, and nothing lost."""

import errno
import os
import pwd
import socket
import unittest

import harness

NOBODY = 65534


class Refusals(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.mountpoint = os.path.join(self.directory, "mnt")
        os.mkdir(self.mountpoint)
        self.addCleanup(harness.detach, self.mountpoint)

    def refused(self, exit_code, words, *arguments, mountpoint=None, environment=None):
        """The mount is refused with one line that says these words."""
        done = harness.run(harness.PROGRAM, "mount", "--cache-dir", self.cache, *arguments,
                           mountpoint or self.mountpoint, check=False,
                           env=harness.clean_environment(environment))
        self.assertEqual(done.returncode, exit_code, done.stderr)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("Try ")]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertIn(words, lines[0])
        self.assertNotIn("SECRET", lines[0])
        self.assertTrue(lines[0].startswith("tciafs: "))
        self.assertFalse(harness.is_mounted(self.mountpoint))

    def test_usage(self):
        self.refused(2, "no-such", "--no-such-option")
        self.refused(2, "archive root", "--server", "ftp://example.org")
        self.refused(2, "archive root", "--server", "nbia.example.org")
        self.refused(2, "user name and password do not belong there",
                     "--server", "https://u:SECRET@example.org/nbia-api")
        self.refused(2, "none of auto, v4, v2, v1", "--api", "v3")
        self.refused(2, "duration", "--metadata-ttl", "soon")
        self.refused(2, "size", "--cache-size", "lots")
        self.refused(2, "unknown mount option 'speed'", "-o", "speed=9")
        self.refused(2, "number", "--downloads", "0")

    def test_configuration_file(self):
        home = os.path.join(self.directory, "config", "tciafs")
        os.makedirs(home)
        with open(os.path.join(home, "config"), "w", encoding="utf-8") as config:
            config.write("metadata-ttl = 6h\ncolour = blue\n")
        self.refused(2, "config:2: unknown setting 'colour'",
                     environment={"XDG_CONFIG_HOME": os.path.dirname(home)})

    def test_mountpoint(self):
        self.refused(3, "no such directory", mountpoint=self.mountpoint + "2")
        file = os.path.join(self.directory, "file")
        open(file, "w", encoding="utf-8").close()
        self.refused(3, "not a directory", mountpoint=file)
        os.mkdir(os.path.join(self.mountpoint, "kept"))
        self.refused(3, "not empty")
        self.assertEqual(os.listdir(self.mountpoint), ["kept"])

    def test_mountpoint_already_mounted(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=1")
        mount = self.mount(server)
        self.refused(3, "already mounted", "--server", server.url, mountpoint=mount.path)
        self.assertEqual(os.listdir(mount.path), ["A"])

    def test_cache_directory(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=1")
        self.mount(server)
        self.refused(6, "process", "--server", server.url)
        file = os.path.join(self.directory, "file")
        open(file, "w", encoding="utf-8").close()
        self.refused(6, file, "--cache-dir", os.path.join(file, "cache"))
        self.refused(6, "at least", "--cache-dir", self.cache + "2", "--cache-size", "1M")

    def test_cache_directory_that_cannot_be_written(self):
        # The kernel refuses even root here.
        self.refused(6, "/proc", "--cache-dir", "/proc/tciafs-cache")

    def test_cache_directory_of_something_else(self):
        files = [os.path.join(self.cache, "images", *words) for words in
                 (("series", "patient1", "scan1", "a.dcm"), ("index", "notes.txt"), ("FORMAT",))]
        for file in files:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w", encoding="utf-8") as mine:
                mine.write("mine\n")
            self.refused(6, "images is no cache of tciafs, and")
            doctor = harness.command("doctor", self.mountpoint, "--cache-dir", self.cache, "--offline")
            self.assertRegex(doctor.stdout, "(?m)^FAIL  cache .*is no cache of tciafs.*: choose another")
            self.assertEqual(doctor.returncode, 6, doctor.stdout)
        for file in files:
            with open(file, encoding="utf-8") as mine:
                self.assertEqual(mine.read(), "mine\n")
        self.assertEqual(sorted(os.listdir(os.path.join(self.cache, "images"))), ["FORMAT", "index", "series"])

    def test_what_is_written_in_the_mountpoint(self):
        inside = os.path.join(self.mountpoint, "cache")
        link = os.path.join(self.directory, "link")
        os.symlink(self.mountpoint, link)
        for words in (("--cache-dir", inside), ("--cache-dir", self.mountpoint),
                      ("--cache-dir", os.path.join(link, "deep", "cache")),
                      ("--log-file", os.path.join(self.mountpoint, "log"))):
            told = f"{words[1]} lies in the mountpoint {self.mountpoint}; choose another with {words[0]}"
            self.refused(2, told, *words)
            doctor = harness.command("doctor", self.mountpoint, "--cache-dir", self.cache, *words, "--offline")
            self.assertIn(told, "".join(line for line in doctor.stdout.splitlines() if line.startswith("FAIL")))
            self.assertEqual(doctor.returncode, 2, doctor.stdout)
        self.assertEqual(os.listdir(self.mountpoint), [])

    @unittest.skipIf(os.getuid() != 0, "needs another user")
    def test_cache_directory_of_another_user(self):
        os.mkdir(self.cache)
        os.chown(self.cache, NOBODY, NOBODY)
        name = pwd.getpwuid(NOBODY).pw_name
        self.refused(6, f"cache {self.cache}: belongs to {name}; only they can open it")
        self.assertEqual(os.listdir(self.cache), [])
        doctor = harness.command("doctor", self.mountpoint, "--cache-dir", self.cache, "--offline")
        self.assertRegex(doctor.stdout, f"(?m)^FAIL  cache .*belongs to {name}; .*: take one of your own")
        self.assertEqual(doctor.returncode, 6, doctor.stdout)

    def test_credentials(self):
        secrets = os.path.join(self.directory, "secrets")
        self.refused(5, "secrets", "--credentials", secrets)
        with open(secrets, "w", encoding="utf-8") as file:
            file.write("username = me\npassword = hidden\n")
        os.chmod(secrets, 0o644)
        self.refused(5, "chmod 600", "--credentials", secrets)

    def test_umount_of_what_is_not_mounted(self):
        done = harness.run(harness.PROGRAM, "umount", self.mountpoint, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no tciafs is mounted there", done.stderr)


class BadServers(harness.MountCase):
    """The mount stands; the reason is told where it is first needed."""

    def check(self, url, error, words, options=()):
        mount = self.mount(url, options=["--io-timeout", "2s", *options])
        with self.assertRaises(OSError) as failure:
            os.listdir(mount.path)
        self.assertEqual(failure.exception.errno, error, mount.log()[-2000:])
        reason = os.getxattr(mount.path, "user.tcia.error").decode()
        self.assertIn(words, reason)
        self.assertNotIn("\n", reason)
        self.assertRegex(mount.log(), "(warning|error)")
        return mount

    def test_nobody_listens(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        self.check(f"http://127.0.0.1:{port}/nbia-api", errno.EIO, f"127.0.0.1:{port}")

    def test_wrong_path(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=1")
        self.check(server.url.replace("/nbia-api", "/elsewhere"), errno.EIO, "127.0.0.1")

    def test_html_instead_of_json(self):
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=1")
        server.plan({"endpoint": "*", "times": -1, "action": "html"})
        mount = self.check(server.url, errno.EIO, "127.0.0.1")
        server.plan()

        def recovered():
            try:
                return os.listdir(mount.path) == ["A"]
            except OSError:
                return False
        harness.wait_for(recovered, "the archive makes sense again")


if __name__ == "__main__":
    harness.main()
