# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What is promised of privacy: tciafs(7), P1 and P2."""

import errno
import os
import subprocess

import harness

NOBODY = 65534
SPEC = ":patients=1,studies=1,series=1,images=2,size=32x32"


class Accounts(harness.MountCase):
    def archive_of_two(self):
        return self.archive("--synthetic", "OPEN" + SPEC, "--synthetic", "CLOSED" + SPEC,
                            "--user", "alice:right", "--restricted", "CLOSED=alice")

    def read_all(self, mount, server, collection):
        truth = server.truth(collection)
        self.assertEqual({path: harness.outcome_of_reading(mount / path) for path in truth},
                         {path: md5 for path, (md5, _) in truth.items()})
        return sorted(truth)

    def test_p1(self):
        """P1: What one account downloaded is not shown to another: listings and images are kept per
        server and account.

        All mounts use one cache directory.
        """
        server = self.archive_of_two()
        secrets = harness.write_secret(os.path.join(self.directory, "secrets"),
                                       "username = alice\npassword = right\n")
        as_guest = ["--api", "v2"]
        as_alice = [*as_guest, "--credentials", secrets]
        alice = self.mount(server, options=as_alice)
        self.assertEqual(os.listdir(alice.path), ["CLOSED", "OPEN"])
        closed = self.read_all(alice, server, "CLOSED")
        self.read_all(alice, server, "OPEN")
        guest = self.remount(alice, server, options=[*as_guest, "--offline"])
        self.assertEqual(harness.failure_of(os.listdir, guest.path), "ENETUNREACH")
        for path in ("OPEN", *closed):
            self.assertEqual(harness.failure_of(os.stat, guest / path), "ENETUNREACH", path)
        guest = self.remount(guest, server, options=as_guest)
        self.assertEqual(os.listdir(guest.path), ["OPEN"])
        for path in ("CLOSED", *closed):
            self.assertEqual(harness.failure_of(os.stat, guest / path), "ENOENT", path)
        server.reset()
        self.read_all(guest, server, "OPEN")
        self.assertEqual(server.requests("images"), 1, "the guest's own download")
        alice = self.remount(guest, server, options=[*as_alice, "--offline"])
        self.assertEqual(os.listdir(alice.path), ["CLOSED", "OPEN"])
        self.read_all(alice, server, "CLOSED")

    def test_p1_servers(self):
        """P1: What one account downloaded is not shown to another: listings and images are kept per
        server and account.

        Two servers, the same names and UIDs on both.
        """
        first = self.archive("--synthetic", "SAME" + SPEC)
        second = self.archive("--synthetic", "SAME" + SPEC)
        mount = self.mount(first)
        self.read_all(mount, first, "SAME")
        mount = self.remount(mount, second, options=["--offline"])
        self.assertEqual(harness.failure_of(os.listdir, mount.path), "ENETUNREACH")
        mount = self.remount(mount, second)
        self.read_all(mount, second, "SAME")
        self.assertEqual(second.requests("images"), 1)

    def test_p1_other_users(self):
        """P1: The mount belongs to who mounted it unless --allow-other is given."""
        if os.getuid() != 0 and not os.environ.get("TCIAFS_REQUIRE_FUSE"):
            self.skipTest("becoming another user takes root")
        os.chmod(self.directory, 0o755)
        server = self.archive("--synthetic", "OPEN" + SPEC)
        for options, allowed in (([], False), (["--allow-other"], True)):
            with self.subTest(options=options):
                mount = self.mount(server, options=options)
                path = mount / sorted(server.truth("OPEN"))[0]
                for command in (["ls", mount.path], ["stat", mount / "OPEN"], ["cat", path]):
                    self.assertEqual(self.succeeds(*command), True, "for its owner")
                    self.assertEqual(self.succeeds("setpriv", f"--reuid={NOBODY}", "--clear-groups",
                                                   f"--regid={NOBODY}", *command), allowed, command)
                mount.unmount()

    def succeeds(self, *command):
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    def test_p1_cache_directory(self):
        """P1: What one account downloaded is not shown to another: listings and images are kept per
        server and account.

        Not by the cache directory either: it is its owner's alone.
        """
        server = self.archive("--synthetic", "OPEN" + SPEC)
        self.read_all(self.mount(server), server, "OPEN")
        for directory, _, names in os.walk(self.cache):
            self.assertEqual(os.stat(directory).st_mode & 0o077, 0, directory)
            for name in names:
                path = os.path.join(directory, name)
                self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)


class Secrets(harness.MountCase):
    PASSWORD = "Correct-Horse.Battery%20Staple"
    KEY = "0123abcd-key-45ef"

    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "CLOSED" + SPEC, "--restricted", "CLOSED=alice",
                                   "--user", "alice:" + self.PASSWORD,
                                   "--require-api-key", self.KEY)

    def sources(self, password):
        """Every way to give the program a password: (options, environment)."""
        netrc = harness.write_secret(os.path.join(self.directory, "netrc"),
                                     f"machine 127.0.0.1 login alice password {password}\n")
        secrets = harness.write_secret(
            os.path.join(self.directory, "secrets"),
            f"server = {self.server.url}\nusername = alice\npassword = {password}\n")
        return {"file": (["--credentials", secrets], {}),
                "netrc": ([], {"NETRC": netrc}),
                "environment": ([], {"TCIAFS_USERNAME": "alice", "TCIAFS_PASSWORD": password})}

    def assert_tells_no_secret(self, mount, *secrets):
        """Nothing that others or a bug report may see of a mount holds one of them."""
        places = {"log": mount.log().encode(), "mounts": self.content("/proc/self/mountinfo"),
                  "arguments": self.content(f"/proc/{mount.process.pid}/cmdline"),
                  "status": self.content(mount / ".tcia/status.json")}
        for top in (self.cache, "/run/tciafs"):
            for directory, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(directory, name)
                    places[path] = self.content(path)
        try:
            places["error"] = os.getxattr(mount.path, "user.tcia.error")
        except OSError:
            pass
        for place, content in places.items():
            self.assertNotRegex(content, b"(?i)bearer [^ ]|access_token|api_key[:=]", place)
            for secret in secrets:
                self.assertNotIn(secret.encode(), content, place)
                self.assertNotIn(secret.encode().hex().encode(), content, place)
        return places

    def content(self, path):
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:  # of another mount that ended meanwhile
            return b""
        except OSError as failure:
            if failure.errno != errno.ENXIO:  # a socket
                raise
            return b""

    def test_p2(self):
        """P2: Credentials are read from a protected file, netrc or the environment; they appear in
        no argument list, log or error text."""
        for source, (options, environment) in self.sources(self.PASSWORD).items():
            with self.subTest(source=source):
                mount = self.mount(self.server, options=["--api", "v2", *options],
                                   environment=environment)
                self.assertEqual(os.listdir(mount.path), ["CLOSED"], "they were used")
                for path in self.server.truth("CLOSED"):
                    harness.md5_of(mount / path)
                self.assert_tells_no_secret(mount, self.PASSWORD)
                mount.unmount()

    def test_p2_rejected(self):
        """P2: Credentials are read from a protected file, netrc or the environment; they appear in
        no argument list, log or error text."""
        wrong = "wrong+Horse.Battery"
        for source, (options, environment) in self.sources(wrong).items():
            with self.subTest(source=source):
                mount = self.mount(self.server, options=["--api", "v2", *options],
                                   environment=environment)
                self.assertEqual(harness.failure_of(os.listdir, mount.path), "EACCES")
                places = self.assert_tells_no_secret(mount, wrong)
                self.assertIn(b"127.0.0.1", places["error"])
                mount.unmount()

    def test_p2_api_key(self):
        """P2: Credentials are read from a protected file, netrc or the environment; they appear in
        no argument list, log or error text."""
        key_file = harness.write_secret(os.path.join(self.directory, "key"), self.KEY + "\n")
        for options, environment in ((["--api-key-file", key_file], {}),
                                     ([], {"TCIAFS_API_KEY": self.KEY})):
            mount = self.mount(self.server, options=["--api", "v1", *options],
                               environment=environment)
            self.assertEqual(harness.failure_of(os.listdir, mount.path), None, "it was used")
            self.assert_tells_no_secret(mount, self.KEY)
            mount.unmount()

    def test_p2_protected(self):
        """P2: Credentials are read from a protected file, netrc or the environment; they appear in
        no argument list, log or error text.

        A file that others can read is none, and no option takes a secret itself.
        """
        sources = self.sources(self.PASSWORD)
        (option, secrets), _ = sources["file"]
        _, netrc = sources["netrc"]
        os.chmod(secrets, 0o640)
        os.chmod(netrc["NETRC"], 0o604)
        mountpoint = os.path.join(self.directory, "refused")
        os.mkdir(mountpoint)
        refused = harness.run(harness.PROGRAM, "mount", "--server", self.server.url, "--cache-dir",
                              self.cache, option, secrets, mountpoint, check=False,
                              env=harness.clean_environment())
        self.assertEqual(refused.returncode, 5)
        self.assertIn(secrets, refused.stderr)
        self.assertNotIn(self.PASSWORD, refused.stderr)
        mount = self.mount(self.server, options=["--api", "v2"], environment=netrc)
        self.assertEqual(os.listdir(mount.path), [], "a guest's view")
        options = harness.run(harness.PROGRAM, "mount", "--help").stdout
        self.assertNotRegex(options, r"--(password|username|api-key|token)\b[^-]")


if __name__ == "__main__":
    harness.main()
