# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Files that the kernel reads without asking to open them: tciafs(7), NOT OPENED."""

import errno
import mmap
import os
import signal
import subprocess
import threading

import harness

IO_TIMEOUT_S = 1
WAITING = 100  # readers; more than the kernel reads ahead for at once where files are opened

# Without open(), which asks whether the file is a terminal.
READ_ALL = """
import os, sys
for path in sys.argv[1:]:
    file = os.open(path, os.O_RDONLY)
    while os.read(file, 1 << 20):
        pass
    os.close(file)
"""


class Unopened(harness.MountCase):
    def mounted(self, *archive_options, spec="A:patients=2,studies=1,series=2,images=5", options=()):
        server = self.archive("--synthetic", spec, *archive_options)
        mount = self.mount(server, options=["--ask-open=none", f"--io-timeout={IO_TIMEOUT_S}s",
                                            *options])
        return server, mount

    def files(self, mount, collection):
        return [mount / f"{collection}/{path}" for path in harness.walk_files(mount / collection)]

    def check_bytes(self, mount, truth):
        for path, (md5, size) in truth.items():
            self.assertEqual(os.stat(mount / path).st_size, size, path)
            self.assertEqual(harness.md5_of(mount / path), md5, path)

    def test_every_byte_cold_and_warm(self):
        server, mount = self.mounted()
        truth = server.truth("A")
        self.check_bytes(mount, truth)
        mount.unmount()
        mount = self.mount(options=["--ask-open=none", "--offline", f"--server={server.url}"])
        self.check_bytes(mount, truth)
        path = next(iter(truth))
        with open(mount / path, "rb") as file, open(mount / path, "rb") as other:
            whole = file.read()
            with mmap.mmap(other.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                self.assertEqual(mapped[:], whole)
            self.assertEqual(os.pread(other.fileno(), 100, len(whole) - 50), whole[-50:])
            self.assertEqual(os.pread(other.fileno(), 100, len(whole)), b"")
            self.assertEqual(os.fstat(other.fileno()).st_size, len(whole))

    def test_what_was_read_is_read_again_without_a_question(self):
        _, mount = self.mounted()
        files = self.files(mount, "A")
        for _ in range(2):  # to bring all here, and for the kernel to learn how long it may keep it
            harness.run("/usr/bin/python3", "-c", READ_ALL, *files)
        mount.process.send_signal(signal.SIGSTOP)
        try:
            reading = self.background("/usr/bin/python3", "-c", READ_ALL, *files)
            self.assertEqual(reading.wait(harness.WAIT_S), 0)
        finally:
            mount.process.send_signal(signal.SIGCONT)

    def test_guessed_sizes_are_not_told(self):
        server, mount = self.mounted("--no-drill-down")
        self.check_bytes(mount, server.truth("A"))

    def test_a_size_that_was_told_wrong_is_stale_and_then_right(self):
        server, mount = self.mounted()
        path = self.files(mount, "A")[0]
        os.stat(path)
        server.mutate(replace_series=path.split("/")[-2], other_size=True)
        whole = server._request(f"instance?sop={os.path.basename(path)[:-4]}")
        outcomes = []

        def right():
            try:
                with open(path, "rb") as file:
                    outcomes.append(file.read())
            except OSError as failure:
                outcomes.append(errno.errorcode[failure.errno])
            return outcomes[-1] == whole
        harness.wait_for(right, "the true bytes")
        self.assertEqual(set(outcomes[:-1]), {"ESTALE"})

    def test_replaced_in_the_archive(self):
        for other_size in (False, True):
            with self.subTest(other_size=other_size):
                server, mount = self.mounted(options=["--metadata-ttl=1s"])
                path = self.files(mount, "A")[0]
                sop = os.path.basename(path)[:-4]
                old = server._request(f"instance?sop={sop}")
                with open(path, "rb", buffering=0) as file:
                    begin = os.pread(file.fileno(), 1000, 0)
                    server.mutate(replace_series=path.split("/")[-2], other_size=other_size)
                    new = server._request(f"instance?sop={sop}")

                    def renewed():
                        os.listdir(os.path.dirname(os.path.dirname(path)))
                        try:
                            with open(path, "rb") as again:
                                found = again.read()
                        except OSError as failure:
                            self.assertEqual(failure.errno, errno.ESTALE)
                            return False
                        self.assertIn(found, (old, new))
                        return found == new
                    harness.wait_for(renewed, "the new bytes", 60)
                    try:
                        self.assertEqual(begin + os.pread(file.fileno(), 1 << 24, 1000), old)
                    except OSError as failure:
                        self.assertEqual(failure.errno, errno.ESTALE)
                mount.unmount()

    def test_failures_are_those_of_reading(self):
        server, mount = self.mounted()
        path = self.files(mount, "A")[0]
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"})
        with open(path, "rb") as file, self.assertRaises(OSError) as failure:
            file.read()
        self.assertEqual(failure.exception.errno, errno.ETIMEDOUT)
        with self.assertRaises(OSError) as failure:
            open(path, "r+b")
        self.assertEqual(failure.exception.errno, errno.EROFS)

    def test_many_who_wait_keep_nobody_back(self):
        spec = f"SLOW:patients=1,studies=1,series=1,images={WAITING},size=64x64"
        server, mount = self.mounted("--synthetic", "FAST:patients=1,studies=1,series=1,images=9",
                                     spec=spec)
        slow, fast = self.files(mount, "SLOW"), self.files(mount, "FAST")
        harness.run("/usr/bin/python3", "-c", READ_ALL, *fast)
        mount.unmount()
        mount = self.mount(server, options=["--ask-open=none", "--io-timeout=120s"])
        slow, fast = self.files(mount, "SLOW"), self.files(mount, "FAST")
        server.plan({"endpoint": "*/getImage*", "times": -1, "action": "stall_before_head"})
        waiting = [self.background("cat", path, stdout=subprocess.DEVNULL) for path in slow]
        harness.wait_for(lambda: server.active("getImage") > 0, "they wait")
        harness.run("/usr/bin/python3", "-c", READ_ALL, *fast, timeout_s=harness.WAIT_S)
        self.assertEqual([cat.poll() for cat in waiting], [None] * WAITING)
        waiting[0].send_signal(signal.SIGINT)  # Ctrl-C, at once
        self.assertEqual(waiting[0].wait(harness.WAIT_S), -signal.SIGINT)
        mount.unmount()
        self.assertNotIn(0, [cat.wait(harness.WAIT_S) for cat in waiting])

    def test_parallel_readers_of_cold_series(self):
        server, mount = self.mounted()
        truth = server.truth("A")
        readers = [threading.Thread(target=self.check_bytes, args=(mount, truth)) for _ in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(harness.WAIT_S * 2)
        self.assertEqual(server.requests("images"), 4, server.counters())

    def test_the_cap_holds_and_does_not_starve(self):
        """What is kept open for the next read must not keep others from being downloaded."""
        server, mount = self.mounted(spec="A:patients=4,studies=1,series=1,images=10,size=768x768",
                                     options=["--cache-size=16M", "--min-free=0"])
        self.check_bytes(mount, server.truth("A"))


if __name__ == "__main__":
    harness.main()
