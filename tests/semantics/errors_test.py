# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What is promised of errors: tciafs(7), E1 and E2. Each errno from a cause of its own."""

import errno
import json
import os
import signal

import harness

SMALL = "patients=2,studies=1,series=1,images=3,size=64x64"
# Waits in open(2) with a signal handler that asks for no restart, as a program of C would.
OPEN_AND_TELL = """
import ctypes, errno, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.siginterrupt(signal.SIGUSR1, True)
libc = ctypes.CDLL(None, use_errno=True)
opened = libc.open(sys.argv[1].encode(), 0)
print("opened" if opened >= 0 else errno.errorcode[ctypes.get_errno()])
"""


class Errnos(harness.MountCase):
    def mounted(self, *archive_options, options=(), spec=SMALL):
        """An archive, its mount, and every instance's path."""
        server = self.archive("--synthetic", f"A:{spec}", *archive_options)
        mount = self.mount(server, options=options)
        return server, mount, [mount / f"A/{path}" for path in harness.walk_files(mount / "A")]

    def test_e1_enoent(self):
        """E1: ENOENT: no such name."""
        _, mount, files = self.mounted()
        above = [files[0]]
        while above[-1] != mount.path:
            above.append(os.path.dirname(above[-1]))
        for directory in above[1:]:
            for call in (os.stat, open, os.listdir):
                self.assertEqual(harness.failure_of(call, directory + "/nobody"), "ENOENT")
        # An instance under another name than its own; and a name that is no file's.
        self.assertEqual(harness.failure_of(os.stat, files[0].removesuffix(".dcm")), "ENOENT")
        self.assertEqual(harness.failure_of(os.stat, files[0].replace("/A/", "/a/")), "ENOENT")

    def test_e1_eacces(self):
        """E1: EACCES: the account may not see it, or its credentials are rejected."""
        server, mount, files = self.mounted("--user", "alice:right", options=["--api", "v2"])
        harness.md5_of(files[0])
        server.restart("--restricted", "A=alice")  # meanwhile, and behind a listing that is fresh
        self.assertEqual(harness.outcome_of_reading(files[-1]), "EACCES")
        # Once more with a new token, for the old one might have been the reason; and that is it.
        self.assertLessEqual(server.requests("images"), 2, server.counters())
        mount.unmount()
        secrets = harness.write_secret(os.path.join(self.directory, "secrets"),
                                       "username = alice\npassword = wrong\n")
        mount = self.mount(server, options=["--api", "v2", "--credentials", secrets])
        self.assertEqual(harness.failure_of(os.listdir, mount.path), "EACCES")

    def test_e1_eacces_one_series(self):
        """E1: EACCES: the account may not see it, or its credentials are rejected.

        As the archive words it for one series, with a status that says something else.
        """
        server, _, files = self.mounted()
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "status", "code": 400,
                     "body": "The user has not been granted the access to image with given "
                             "SeriesInstanceUID,X. Please contact System Admin."})
        self.assertEqual({harness.outcome_of_reading(file) for file in files[:3]}, {"EACCES"})
        self.assertEqual(server.requests("images"), 1, "a refusal is no reason to try again")

    def test_e1_erofs(self):
        """E1: EROFS: any attempt to write."""
        _, mount, files = self.mounted()
        for path in (files[0], os.path.dirname(files[0]), mount / "A"):
            self.assert_read_only(path)
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_RDONLY | os.O_TRUNC,
                      os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            self.assertEqual(harness.failure_of(os.open, files[0], flags), "EROFS", flags)
        self.assertEqual(harness.failure_of(os.truncate, files[0], 0), "EROFS")
        self.assertEqual(harness.failure_of(os.unlink, files[0]), "EROFS")
        self.assertEqual(harness.failure_of(os.link, files[0], files[1] + ".link"), "EROFS")
        self.assertEqual(harness.failure_of(os.rmdir, os.path.dirname(files[0])), "EROFS")
        self.assertEqual(harness.failure_of(os.rename, files[0], files[1]), "EROFS")
        for directory in (mount.path, mount / "A", os.path.dirname(files[0])):
            new = os.path.join(directory, "new")
            for call, *more in ((os.mkdir,), (os.mknod,), (os.mkfifo,),
                                (os.open, os.O_WRONLY | os.O_CREAT),
                                (os.open, os.O_RDONLY | os.O_CREAT)):
                self.assertEqual(harness.failure_of(call, new, *more), "EROFS", (call, directory))
            self.assertEqual(harness.failure_of(os.symlink, "target", new), "EROFS")
            nameless = os.O_RDWR | os.O_TMPFILE
            self.assertEqual(harness.failure_of(os.open, directory, nameless), "EROFS")
        self.assertEqual(harness.walk_files(mount / "A"),
                         [os.path.relpath(file, mount / "A") for file in files])

    def assert_read_only(self, path):
        for call, *more in ((os.chmod, 0o777), (os.chown, 0, 0), (os.utime,),
                            (os.setxattr, "user.note", b"1"), (os.removexattr, "user.tcia.size"),
                            (os.rename, path + "2")):
            self.assertEqual(harness.failure_of(call, path, *more), "EROFS", (call, path))

    def test_e1_etimedout(self):
        """E1: ETIMEDOUT: no progress in time."""
        server, _, files = self.mounted(options=["--io-timeout", "500ms"])
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"})
        self.assertEqual(harness.outcome_of_reading(files[0]), "ETIMEDOUT")

    def test_e1_eio(self):
        """E1: EIO: the archive does not answer, or failed, also after retries, or the bytes are not
        intact."""
        server, mount, files = self.mounted("--synthetic", f"B:{SMALL}")
        server.plan({"endpoint": "*/getPatient", "times": -1, "action": "status", "code": 500},
                    {"endpoint": "*/getImage*", "times": -1, "action": "not_dicom", "k": [0, 1, 2]},
                    {"endpoint": "*/getSingleImage", "times": -1, "action": "status", "code": 500})
        self.assertEqual(harness.failure_of(os.listdir, mount / "B"), "EIO")
        self.assertGreaterEqual(server.endpoint_requests("getPatient"), 2, server.counters())
        self.assertEqual(harness.outcome_of_reading(files[0]), "EIO")
        self.assertGreaterEqual(server.requests("images"), 2, server.counters())
        server.stop()
        self.assertEqual(harness.failure_of(os.listdir, mount / "B"), "EIO")
        self.assertEqual(harness.failure_of(os.listdir, mount / "C"), "ENOENT", "it is known")

    def test_e1_enospc(self):
        """E1: ENOSPC: it cannot fit the cache."""
        server, _, files = self.mounted(options=["--cache-size", "16M"],
                                        spec="patients=1,studies=1,series=1,images=40,size=512x512")
        self.assertEqual(harness.outcome_of_reading(files[0]), "ENOSPC")
        self.assertEqual(server.requests("images"), 0)

    def test_e1_estale(self):
        """E1: ESTALE: the object changed under an open file.

        And the bytes it was opened with are lost: an open file keeps them as long as it can. (Its
        head the kernel has already; passed through, all are verified when it is opened, and damage
        comes too late to be found.)
        """
        options = ["--metadata-ttl", "1s", "--passthrough", "off"]
        server = self.archive("--synthetic", "A:patients=1,series=1,images=3,size=256x256")
        mount = self.mount(server, options=options)
        paths = sorted(server.truth("A"))
        for path in paths:
            harness.md5_of(mount / path)
        mount = self.remount(mount, server, options=options)
        file = os.open(mount / paths[0], os.O_RDONLY)
        self.addCleanup(os.close, file)
        self.damage(os.path.basename(paths[0]))
        server.mutate(replace_series=paths[0].split("/")[3])
        new = server.truth("A")
        harness.wait_for(lambda: harness.outcome_of_reading(mount / paths[1]) == new[paths[1]][0],
                         "the series is known to be replaced")
        self.assertEqual(harness.failure_of(os.pread, file, 4096, 50_000), "ESTALE")
        self.assertEqual(harness.md5_of(mount / paths[0]), new[paths[0]][0])

    def damage(self, name):
        for directory, _, names in os.walk(os.path.join(self.cache, "images")):
            if name in names:
                with open(os.path.join(directory, name), "r+b") as file:
                    file.seek(50_000)
                    file.write(b"\0damaged\0")
                return
        self.fail(f"{name} is not in the cache")

    def test_e1_eintr(self):
        """E1: EINTR: interrupted."""
        server, _, files = self.mounted()
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"})
        waiting = self.background("/usr/bin/python3", "-c", OPEN_AND_TELL, files[0],
                                  stdout=harness.PIPE, text=True)
        harness.wait_for(lambda: server.active("getImage") > 0, "it waits")
        waiting.send_signal(signal.SIGUSR1)
        self.assertEqual(waiting.communicate(timeout=harness.WAIT_S)[0], "EINTR\n")

    def test_e1_enetunreach(self):
        """E1: ENETUNREACH: not cached, and the mount may not use the network (--offline)."""
        server, mount, files = self.mounted("--synthetic", f"B:{SMALL}")
        mount = self.remount(mount, server, options=["--offline"])
        path = os.path.relpath(files[0], os.path.dirname(files[0].split("/A/")[0] + "/A"))
        self.assertEqual(harness.outcome_of_reading(mount / path), "ENETUNREACH")
        self.assertEqual(harness.failure_of(os.listdir, mount / "B"), "ENETUNREACH")
        self.assertEqual(harness.failure_of(os.stat, mount / "B/nobody"), "ENETUNREACH")


class Reasons(harness.MountCase):
    def test_e2(self):
        """E2: The reason of the last failure of a path can be read from its attribute
        user.tcia.error, and is among the recent errors in /.tcia/status.json."""
        server = self.archive("--synthetic", f"A:{SMALL}", "--synthetic", f"B:{SMALL}")
        mount = self.mount(server, options=["--io-timeout", "500ms"])
        file = f"A/{harness.walk_files(mount / 'A')[0]}"
        for path in (file, "B"):
            with self.assertRaises(OSError) as none:
                os.getxattr(mount / path, "user.tcia.error")
            self.assertEqual(none.exception.errno, errno.ENODATA, "nothing failed yet")
        self.assertEqual(self.recent_errors(mount), {})
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"},
                    {"endpoint": "*/getPatient", "times": -1, "action": "status", "code": 503})
        self.assertEqual(harness.outcome_of_reading(mount / file), "ETIMEDOUT")
        self.assertTrue(harness.failure_of(os.listdir, mount / "B"))
        told = self.recent_errors(mount)
        for path, words in ((file, "no answer within 0.5 s"), ("B", "503")):
            with self.subTest(path=path):
                reason = os.getxattr(mount / path, "user.tcia.error").decode()
                self.assertRegex(reason, words)
                self.assertIn(f"127.0.0.1:{server.port}", reason)
                self.assertEqual(told["/" + path], reason)

    def recent_errors(self, mount):
        with open(mount / ".tcia/status.json", encoding="utf-8") as status:
            return {row["path"]: row["reason"] for row in json.load(status)["recent_errors"]}


if __name__ == "__main__":
    harness.main()
