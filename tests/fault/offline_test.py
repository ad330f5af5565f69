# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""A server that goes and comes back, and a mount made offline: what is cached is served, the rest
fails at once with the reason, and everything comes back by itself."""

import concurrent.futures
import errno
import json
import os
import time

import harness

AT_ONCE_S = 10  # on a busy machine; the time-outs below are longer
SYNTHETIC = "A:patients=30,studies=1,series=1,images=2"


def status_of(mount):
    with open(mount / ".tcia/status.json", encoding="utf-8") as file:
        return json.load(file)


def server_of(mount, index=0):
    return status_of(mount)["servers"][index]


def reason_of(path):
    try:
        return os.getxattr(path, "user.tcia.error").decode()
    except OSError as failure:
        if failure.errno != errno.ENODATA:
            raise
        return ""


def lines_with(mount, words):
    return [line for line in mount.log().splitlines() if words in line]


class OfflineCase(harness.MountCase):
    def fails(self, error, function, *arguments):
        """The call fails so, at once; its reason is handed on."""
        start = time.monotonic()
        with self.assertRaises(OSError) as failure:
            function(*arguments)
        self.assertEqual(failure.exception.errno, error)
        self.assertLess(time.monotonic() - start, AT_ONCE_S)

    def becomes(self, mount, state, index=0):
        return harness.wait_for(
            lambda: server_of(mount, index)["state"] == state and server_of(mount, index),
            f"server {index} is {state}: {server_of(mount, index)}")

    def provoke(self, mount, path):
        """Asks for it until the server counts as offline."""
        def offline():
            try:
                os.listdir(mount / path)
            except OSError:
                pass
            return server_of(mount)["state"] == "offline"
        harness.wait_for(offline, "the server counts as offline")

    def assert_logged_once(self, mount, host, answering_again):
        self.assertEqual(len(lines_with(mount, f"{host}: not answering: ")), 1, mount.log()[-3000:])
        self.assertEqual(len(lines_with(mount, f"{host}: answering again after ")),
                         1 if answering_again else 0)


class Recovery(OfflineCase):
    def test_a_server_that_goes_and_comes_back(self):
        server = self.archive("--synthetic", SYNTHETIC)
        host = f"127.0.0.1:{server.port}"
        mount = self.mount(server)
        patients = sorted(os.listdir(mount / "A"))
        seen, unseen = patients[0], patients[1]
        cached = harness.walk_files(mount / f"A/{seen}")
        truth = server.truth("A")
        for path in cached:
            self.assertEqual(harness.md5_of(mount / f"A/{seen}/{path}"),
                             truth[f"A/{seen}/{path}"][0])
        self.assertEqual(server_of(mount)["state"], "ok")
        self.assertIsNone(server_of(mount)["reason"])

        server.stop()
        self.provoke(mount, f"A/{unseen}")
        told = server_of(mount)
        self.assertIn(host, told["reason"])
        self.assertIsNotNone(told["last_error"])
        # Cached: listings and bytes. Not cached: refused at once, with the reason.
        self.assertEqual(sorted(os.listdir(mount / "A")), patients)
        for path in cached:
            self.assertEqual(harness.md5_of(mount / f"A/{seen}/{path}"),
                             truth[f"A/{seen}/{path}"][0])
        for patient in patients[2:]:
            self.fails(errno.EIO, os.listdir, mount / f"A/{patient}")
            self.assertRegex(reason_of(mount / f"A/{patient}"),
                             f"^{host}: not answering since [0-9:]+ .*; (asked again|being asked)")
        errors = status_of(mount)["recent_errors"]
        self.assertEqual(errors[0]["path"], f"/A/{patients[-1]}")
        self.assertEqual(errors[0]["error"], "unreachable")

        server.restart()
        self.becomes(mount, "ok")
        # The very next access.
        for patient in patients[1:]:
            files = harness.walk_files(mount / f"A/{patient}")
            self.assertEqual(len(files), 2)
            self.assertEqual(reason_of(mount / f"A/{patient}"), "")
        for path in harness.walk_files(mount / f"A/{unseen}"):
            name = f"A/{unseen}/{path}"
            self.assertEqual(harness.md5_of(mount / name), truth[name][0])
        self.assert_logged_once(mount, host, answering_again=True)

    def test_bytes_are_refused_and_had_after_all(self):
        server = self.archive("--synthetic", SYNTHETIC)
        mount = self.mount(server)
        paths = harness.walk_files(mount / "A")
        server.stop()

        def read(path):
            with open(mount / f"A/{path}", "rb") as file:
                return file.read()

        def offline():
            try:
                read(paths[0])
            except OSError as failure:
                self.assertEqual(failure.errno, errno.EIO)
            return server_of(mount)["state"] == "offline"
        harness.wait_for(offline, "the server counts as offline")
        for path in paths[2:12]:
            self.fails(errno.EIO, read, path)
            self.assertIn("not answering since", reason_of(mount / f"A/{path}"))
        server.restart()
        self.becomes(mount, "ok")
        truth = server.truth("A")
        for path in paths[:12]:
            self.assertEqual(harness.md5_of(mount / f"A/{path}"), truth[f"A/{path}"][0])
            self.assertEqual(reason_of(mount / f"A/{path}"), "")

    def test_mounted_without_the_server(self):
        server = self.archive("--synthetic", SYNTHETIC)
        host = f"127.0.0.1:{server.port}"
        server.stop()
        mount = self.mount(server)
        self.becomes(mount, "offline")
        self.fails(errno.EIO, os.listdir, mount.path)
        self.assertIn("connection refused", reason_of(mount.path))
        server.restart()
        self.becomes(mount, "ok")
        self.assertEqual(os.listdir(mount.path), ["A"])
        self.assertEqual(len(os.listdir(mount / "A")), 30)
        self.assertEqual(reason_of(mount.path), "")
        self.assert_logged_once(mount, host, answering_again=True)

    def test_a_name_that_cannot_be_resolved(self):
        mount = self.mount("http://tciafs-no-such-host.invalid/nbia-api")
        told = self.becomes(mount, "offline")
        self.assertIn("host name not found", told["reason"])
        self.fails(errno.EIO, os.listdir, mount.path)
        self.assert_logged_once(mount, "tciafs-no-such-host.invalid", answering_again=False)

    def test_one_server_down_leaves_the_other(self):
        main = self.archive("--synthetic", SYNTHETIC)
        other = self.archive("--synthetic", "NLST:patients=2,studies=1,series=1,images=1")
        other.stop()
        mount = self.mount(main, other)
        self.becomes(mount, "offline", index=1)
        self.assertEqual(server_of(mount, 0)["state"], "ok")
        self.assertEqual(os.listdir(mount.path), ["A"])
        other.restart()
        self.becomes(mount, "ok", index=1)
        harness.wait_for(lambda: os.listdir(mount.path) == ["A", "NLST"], "NLST is listed")


class Bounds(OfflineCase):
    def test_looking_at_200_directories_of_a_server_that_fails(self):
        server = self.archive("--synthetic", "B:patients=200,studies=1,series=1,images=1")
        mount = self.mount(server)
        patients = os.listdir(mount / "B")
        server.plan({"endpoint": "*", "times": -1, "action": "status", "code": 503})
        before = server.requests("metadata")
        for patient in patients:
            with self.assertRaises(OSError):
                os.listdir(mount / f"B/{patient}")
        self.assertEqual(server_of(mount)["state"], "offline")
        # Four attempts each: of a few patients (and a bulk listing) and of some questions.
        self.assertLess(server.requests("metadata") - before, 80)
        server.plan()
        self.becomes(mount, "ok")
        self.assertEqual(len(os.listdir(mount / f"B/{patients[-1]}")), 1)

    def test_a_thousand_waiters_are_let_go_together(self):
        server = self.archive("--synthetic", "B:patients=1000,studies=1,series=1,images=1")
        mount = self.mount(server, options=["--io-timeout", "2s"])
        patients = os.listdir(mount / "B")
        server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})

        def look(patient):
            try:
                os.listdir(mount / f"B/{patient}")
            except OSError as failure:
                return failure.errno
            return 0
        with concurrent.futures.ThreadPoolExecutor(1000) as pool:
            outcomes = pool.map(look, patients)
            self.becomes(mount, "offline")
            # One by one, eight at a time, would take four minutes.
            start = time.monotonic()
            self.assertLessEqual(set(outcomes), {errno.EIO, errno.ETIMEDOUT})
            self.assertLess(time.monotonic() - start, 30)
        server.plan()
        self.becomes(mount, "ok")
        self.assertEqual(len(os.listdir(mount / f"B/{patients[-1]}")), 1)

    def test_one_bad_series_condemns_nobody(self):
        server = self.archive("--synthetic", SYNTHETIC)
        mount = self.mount(server)
        paths = harness.walk_files(mount / "A")
        bad = paths[0].split("/")[2]
        server.plan({"endpoint": "*", "match": {"SeriesInstanceUID": bad}, "times": -1,
                     "action": "status", "code": 500})
        truth = server.truth("A")
        with self.assertRaises(OSError):
            harness.md5_of(mount / f"A/{paths[0]}")
        for path in paths[2:8]:
            self.assertEqual(harness.md5_of(mount / f"A/{path}"), truth[f"A/{path}"][0])
        self.becomes(mount, "ok")
        self.assertEqual(lines_with(mount, "not answering"), [])
        self.assertIn("500", server_of(mount)["last_error"]["reason"])


class MadeOffline(OfflineCase):
    def test_no_request_is_ever_sent(self):
        server = self.archive("--synthetic", SYNTHETIC)
        mount = self.mount(server)
        patients = sorted(os.listdir(mount / "A"))
        cached = harness.walk_files(mount / f"A/{patients[0]}")[0]
        md5 = harness.md5_of(mount / f"A/{patients[0]}/{cached}")
        mount.unmount()
        before = server.counters()["totals"]
        mount = self.mount(server, options=["--offline", "--metadata-ttl", "1ms"])
        self.assertEqual(os.listdir(mount.path), ["A"])
        self.assertEqual(sorted(os.listdir(mount / "A")), patients)
        self.assertEqual(harness.md5_of(mount / f"A/{patients[0]}/{cached}"), md5)
        for patient in patients[1:]:
            self.fails(errno.ENETUNREACH, os.listdir, mount / f"A/{patient}")
            self.assertIn("the mount is offline", reason_of(mount / f"A/{patient}"))
        told = status_of(mount)
        self.assertTrue(told["offline"])
        self.assertEqual(told["servers"][0]["state"], "offline")
        self.assertIsNone(told["servers"][0]["retry_in_s"])
        time.sleep(1.5)  # longer than the first pause of a server that is only down
        self.assertEqual(server.counters()["totals"], before)
        host = f"127.0.0.1:{server.port}"
        self.assertEqual(len(lines_with(mount, f" info {host}: not asked, the mount is offline")), 1)
        self.assertEqual(lines_with(mount, " warning "), [])


class StatusFile(OfflineCase):
    def test_it_is_an_ordinary_file_of_its_moment(self):
        server = self.archive("--synthetic", SYNTHETIC)
        mount = self.mount(server)
        path = mount / ".tcia/status.json"
        self.assertEqual(os.listdir(mount.path), ["A"])
        self.assertIn("status.json", os.listdir(mount / ".tcia"))
        copy = os.path.join(self.directory, "copy")
        for command in (f"cat {path}", f"cp {path} {copy} && cat {copy}", f"dd bs=7 < {path}",
                        f"python3 -c 'import shutil; shutil.copyfile(\"{path}\", \"{copy}2\")' &&"
                        f" cat {copy}2",
                        f"python3 -c 'import mmap, sys; f = open(\"{path}\"); sys.stdout.buffer."
                        "write(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)[:])'"):
            told = json.loads(harness.run("sh", "-c", command).stdout)
            self.assertEqual(told["servers"][0]["url"], server.url)
        with open(path, "rb") as file:
            self.assertEqual(os.fstat(file.fileno()).st_size, len(file.read()))
        self.assertEqual(os.stat(path).st_ino, os.stat(path).st_ino)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o444)
        self.assertGreater(status_of(mount)["uptime_s"], 0)
        self.fails(errno.EROFS, open, path, "w")
        requests = server.requests("metadata")
        self.fails(errno.ENOENT, os.stat, mount / "A/.tcia/status.json")
        self.assertLessEqual(server.requests("metadata"), requests + 1)  # for A, not for .tcia

    def test_it_tells_downloads_and_use_of_the_cache(self):
        server = self.archive("--synthetic", "C:patients=1,studies=1,series=1,images=20")
        mount = self.mount(server)
        paths = harness.walk_files(mount / "C")
        server.plan({"endpoint": "*getImage*", "times": -1, "action": "bandwidth_bytes_per_s",
                     "n": 20_000})
        reader = self.background("cat", mount / f"C/{paths[-1]}", stdout=harness.DISCARD)

        def streaming():
            rows = status_of(mount)["downloads"]
            return rows[0] if rows and rows[0]["bytes_received"] > 0 else None
        row = harness.wait_for(streaming, "a download is told")
        self.assertEqual(row["state"], "started")
        self.assertEqual(row["path"], "/C/" + os.path.dirname(paths[0]))
        self.assertEqual(row["instances_expected"], 20)
        self.assertEqual(row["waiters"], 1)
        self.assertLessEqual(row["bytes_received"], row["bytes_expected"])
        self.assertGreater(row["bytes_per_s"], 0)
        reader.kill()
        reader.wait()
        server.plan()
        use = status_of(mount)["cache"]
        self.assertGreater(use["cap_bytes"], use["used_bytes"])
        self.assertEqual(use["misses"], 1)


if __name__ == "__main__":
    harness.main()
