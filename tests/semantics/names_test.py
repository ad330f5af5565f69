# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""What is promised of names: tciafs(7), N1 to N7."""

import json
import os
import re
import time
import urllib.parse
import urllib.request

import harness

FILLING = "patients=1,studies=1,series=3,images=12,size=512x512"  # 19 MB, more than a small cache
METADATA_REQUESTS_MAX = 10
TTL_S = 1


def encoded(name):
    """As the page says it, not as the program does."""
    kept = re.sub(rb"[/%\x00-\x1f\x7f]", lambda byte: b"%%%02X" % ord(byte[0]), os.fsencode(name))
    return os.fsdecode(b"%2E" + kept[1:] if kept.startswith(b".") else kept)


def ask(server, call):
    """The rows of one of the archive's own answers."""
    url = f"{server.url}/services/v1/{call}format=json"
    with urllib.request.urlopen(url, timeout=harness.WAIT_S) as answer:
        return json.load(answer)


def paths_in(server):
    """Every series the archive tells of, as a path below the mount."""
    levels = ("Collection", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")
    return {"/".join(encoded(row[level]) for level in levels): row["SeriesInstanceUID"]
            for row in ask(server, "getSeries?")}


def every_name(top):
    """{path: inode number} of all there is, as readdir and stat tell it."""
    found = {}
    for directory, _, _ in os.walk(top):
        for entry in os.scandir(directory):
            path = os.path.relpath(entry.path, top)
            found[path] = entry.inode()
            assert os.stat(entry.path).st_ino == entry.inode(), path
    return found


class Spelling(harness.MountCase):
    def test_n1(self):
        """N1: The tree is
        /Collection/PatientID/StudyInstanceUID/SeriesInstanceUID/SOPInstanceUID.dcm, in the
        archive's own spelling. Only a slash, a percent sign, control characters and a leading dot
        are written as % and two hexadecimal digits. This can be undone, two different ids never
        share a name, and ids that differ only in case stay apart."""
        server = self.archive("--odd-names")
        mount = self.mount(server)
        series = paths_in(server)
        ids = {urllib.parse.unquote(path) for path in series}
        self.assertEqual(len(ids), len(series))
        patients = {tuple(path.split("/")[:2]) for path in series}
        self.assertEqual(len({"/".join(patient).lower() for patient in patients}),
                         len(patients) - 4, "ids that differ in case only are there")
        for odd in ("%2Ehidden/%2Etcia", "100%25 Odd%2FNames/tab%09here", "odd-twins/TWIN",
                    "100%25 Odd%2FNames/50%2525", "Trailing blank / P2"):
            self.assertTrue(any(path.startswith(odd + "/") for path in series), odd)
        wanted = {f"{path}/{row['SOPInstanceUID']}.dcm" for path, uid in series.items()
                  for row in ask(server, f"getSOPInstanceUIDs?SeriesInstanceUID={uid}&")}
        self.assertEqual(set(harness.walk_files(mount.path)), wanted)
        for path in wanted:
            self.assertTrue(os.path.isfile(mount / path), path)

    def test_n1_long_names(self):
        """N1: An id whose name would be longer than 255 bytes is not shown."""
        names = ("L" * 255, "M" * 256, "N" * 252 + "%", "O" * 253 + "%")
        spec = ":patients=1,studies=1,series=1,images=1,size=16x16"
        server = self.archive(*[word for name in names for word in ("--synthetic", name + spec)])
        self.assertEqual(len(ask(server, "getCollectionValues?")), 4)
        mount = self.mount(server)
        self.assertEqual(os.listdir(mount.path), ["L" * 255, "N" * 252 + "%25"])
        # Its patient is called after the collection, with a number behind.
        self.assertEqual(os.listdir(mount / ("L" * 255)), [])


class Identity(harness.MountCase):
    def test_n2(self):
        """N2: Listings are sorted by byte and hold all that the archive answered. The same object
        keeps its name and inode number across mounts and after its data was evicted."""
        server = self.archive("--synthetic", f"A:{FILLING}", "--odd-names", "--shuffle",
                              "--zip-level", 0, "--synthetic",
                              "B:patients=40,studies=1,series=1,images=30,size=16x16")
        small = ["--cache-size", "16M"]
        mount = self.mount(server, options=small)
        before = every_name(mount.path)
        self.assertLessEqual(set(paths_in(server)), set(before))
        for directory, names, files in os.walk(mount.path):
            listed = [os.fsencode(entry.name) for entry in os.scandir(directory)]
            self.assertEqual(listed, sorted(listed), directory)
            self.assertEqual(len(listed), len(names) + len(files))
        self.assertEqual(len(set(before.values())), len(before))
        mount = self.remount(mount, server, options=small)
        self.assertEqual(every_name(mount.path), before)
        files = sorted(path for path in before if path.startswith("A/") and path.endswith(".dcm"))
        for path in files:
            harness.md5_of(mount / path)
        self.assertIn(b"0", {os.getxattr(mount / path, "user.tcia.cached") for path in files})
        self.assertEqual(every_name(mount.path), before)
        mount = self.remount(mount, server, options=small)
        self.assertEqual(every_name(mount.path), before)


class Servers(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.main = self.archive("--synthetic", "LIDC:patients=3,studies=1,series=1,images=2",
                                 "--synthetic", "QIN:patients=2,studies=1,series=1,images=2")
        self.nlst = self.archive("--synthetic", "NLST:patients=4,studies=1,series=1,images=2")

    def assert_usable(self, mount, server, collection):
        truth = server.truth(collection)
        self.assertEqual(["/".join((collection, path))
                          for path in harness.walk_files(mount / collection)], sorted(truth))
        for path, (md5, size) in truth.items():
            self.assertEqual(harness.md5_of(mount / path), md5)
            self.assertEqual(os.stat(mount / path).st_size, size)

    def test_n3(self):
        """N3: Collections of all configured servers stand side by side.

        Each is asked of the server that lists it, and of no other.
        """
        mount = self.mount(self.main, self.nlst)
        self.assertEqual(os.listdir(mount.path), ["LIDC", "NLST", "QIN"])
        self.assert_usable(mount, self.nlst, "NLST")
        self.assertEqual(self.main.requests("images"), 0)
        self.assertEqual(self.main.endpoint_requests("getSeries"), 0, self.main.counters())
        self.assertEqual(self.nlst.requests("images"), 4)
        self.assert_usable(mount, self.main, "LIDC")
        self.assert_usable(mount, self.main, "QIN")
        self.assertEqual(self.nlst.requests("images"), 4)

    def test_n3_default_servers(self):
        """N3: Without other settings these are TCIA's main server and the one that holds the
        collection NLST.

        A proxy on this machine refuses both, and so learns their names.
        """
        asked = set()
        proxy = self.refusing_proxy(asked)
        self.mount(options=["--proxy", proxy])
        harness.wait_for(lambda: len(asked) >= 2, "both servers are asked for")
        self.assertEqual(asked, {"nbia.cancerimagingarchive.net:443",
                                 "nlst.cancerimagingarchive.net:443"})

    def refusing_proxy(self, asked):
        import http.server
        import threading

        class Refusing(http.server.BaseHTTPRequestHandler):
            def do_CONNECT(self):
                asked.add(self.path)
                self.send_error(502)

            def log_message(self, *_):
                pass
        proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{proxy.server_port}"

    def test_n3_one_down(self):
        """N3: A server that is down leaves its last known collections listed and does not touch the
        others."""
        mount = self.mount(self.main, self.nlst)
        self.assertEqual(os.listdir(mount.path), ["LIDC", "NLST", "QIN"])
        self.nlst.stop()
        mount = self.remount(mount, self.main, self.nlst)
        self.assertEqual(os.listdir(mount.path), ["LIDC", "NLST", "QIN"])
        self.assertTrue(harness.failure_of(os.listdir, mount / "NLST"))
        self.assert_usable(mount, self.main, "LIDC")
        self.nlst.restart()
        harness.wait_for(lambda: harness.failure_of(os.listdir, mount / "NLST") is None,
                         "NLST is back by itself")
        self.assert_usable(mount, self.nlst, "NLST")

    def test_n3_one_down_from_the_start(self):
        """N3: A server that is down leaves its last known collections listed and does not touch the
        others.

        Nothing is known of it yet; and a server that accepts and says nothing is no better.
        """
        self.nlst.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        mount = self.mount(self.main, self.nlst)
        start = time.monotonic()
        self.assertEqual(os.listdir(mount.path), ["LIDC", "QIN"])
        self.assertLess(time.monotonic() - start, 20)
        self.assert_usable(mount, self.main, "QIN")
        mount.unmount()
        self.main.stop()
        self.nlst.plan()
        mount = self.mount(self.main, self.nlst, cache=self.cache + "2")
        self.assertEqual(os.listdir(mount.path), ["NLST"])
        self.assert_usable(mount, self.nlst, "NLST")


class Looking(harness.MountCase):
    PATIENTS = 300
    NAMES = 1 + PATIENTS * (1 + 1 + 2 + 2 * 3)

    def test_n4(self):
        """N4: Looking never downloads images: ls, find, stat, du, cd and tab completion cost
        metadata requests only, and few of them."""
        server = self.archive(
            "--synthetic", f"WIDE:patients={self.PATIENTS},studies=1,series=2,images=3,size=32x32",
            "--shuffle")
        looks = {
            "find": ["find", "WIDE"],
            "find with stat": ["find", "WIDE", "-printf", "%s %p\n"],
            "ls -lR": ["ls", "-lR", "WIDE"],
            "du": ["du", "-a", "--apparent-size", "WIDE"],
            "cd and completion": ["bash", "-c",
                                  'cd WIDE; for level in 1 2 3; do cd "$(ls | head -1)"; done;'
                                  'compgen -f ""; compgen -f "$PWD/"; ls -l; ls; stat *'],
        }
        for number, (look, command) in enumerate(looks.items()):
            with self.subTest(look=look):
                mount = self.mount(server, cache=f"{self.cache}{number}")
                server.reset()
                lines = harness.run(*command, cwd=mount.path).stdout.splitlines()
                self.assertGreaterEqual(len(lines), 9 if look.startswith("cd") else self.NAMES)
                self.assertEqual(server.requests("images"), 0)
                self.assertGreater(server.requests("metadata"), 0)
                self.assertLessEqual(server.requests("metadata"), METADATA_REQUESTS_MAX,
                                     server.counters())
                mount.unmount()

    def test_n4_unknown_sizes(self):
        """N4: (With --unknown-size=fetch a stat of an instance whose size nobody knows is the one
        exception.)"""
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=3,size=64x64",
                              "--no-drill-down")
        truth = server.truth("A")
        for policy, downloads in (("estimate", 0), ("zero", 0), ("fetch", 1)):
            with self.subTest(policy=policy):
                mount = self.mount(server, options=["--unknown-size", policy],
                                   cache=self.cache + policy)
                self.assertEqual(harness.walk_files(mount / "A"),
                                 sorted(path[2:] for path in truth))
                self.assertEqual(server.requests("images"), 0, "names alone need no sizes")
                sizes = {path: os.stat(mount / path).st_size for path in truth}
                self.assertEqual(server.requests("images"), downloads, server.counters())
                if policy == "fetch":
                    self.assertEqual(sizes, {path: size for path, (_, size) in truth.items()})
                mount.unmount()
                server.reset()


class Freshness(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive("--synthetic", "A:patients=4,studies=1,series=2,images=3",
                                   "--synthetic", "B:patients=2,studies=1,series=1,images=2")

    def listing(self, mount):
        return {path: len(os.listdir(mount / path)) for path in ("", "A", "B")}

    def test_n5(self):
        """N5: A listing is fresh for its time to live."""
        mount = self.mount(self.server, options=["--metadata-ttl", "1h"])
        before = self.listing(mount)
        self.server.reset()
        self.server.mutate(add_patients={"collection": "A", "count": 2})
        self.assertEqual(self.listing(mount), before)
        mount = self.remount(mount, self.server, options=["--metadata-ttl", "1h"])
        self.assertEqual(self.listing(mount), before)
        self.assertEqual(self.server.requests("metadata"), 0, self.server.counters())

    def test_n5_stale(self):
        """N5: An older one is answered at once while it is renewed behind the scenes."""
        mount = self.mount(self.server, options=["--metadata-ttl", f"{TTL_S}s"])
        before = self.listing(mount)
        self.server.mutate(add_patients={"collection": "A", "count": 2})
        self.server.plan({"endpoint": "*", "times": -1, "action": "stall_before_head"})
        time.sleep(TTL_S + 0.2)
        # Whoever waited for the renewal would wait for the time-out, a minute.
        listed = harness.run("ls", mount / "A", timeout_s=20).stdout.splitlines()
        self.assertEqual(len(listed), before["A"])
        harness.wait_for(lambda: self.server.active() > 0, "the renewal is under way")
        self.assertEqual(os.listdir(mount.path), ["A", "B"])
        mount.unmount()
        self.server.plan()
        mount = self.mount(self.server, options=["--metadata-ttl", f"{TTL_S}s"])
        harness.wait_for(lambda: len(os.listdir(mount / "A")) == before["A"] + 2, "new patients")

    def test_n5_never_shorter(self):
        """N5: A server that fails, or answers with nothing or with less than before, never makes a
        listing shorter until a later answer confirms it."""
        actions = ({"action": "status", "code": 500}, {"action": "empty"}, {"action": "html"},
                   {"action": "status", "code": 200, "body": "[]"})
        servers = [self.archive("--synthetic", f"S{number}:patients=3,studies=1,series=2,images=3")
                   for number in range(len(actions))]
        mount = self.mount(*servers, options=["--metadata-ttl", f"{TTL_S}s"])
        before = harness.walk_files(mount.path)
        self.assertEqual(len(before), len(actions) * 18)
        for server, action in zip(servers, actions):
            server.reset()
            server.plan({"endpoint": "*", "times": -1, **action})
        time.sleep(TTL_S + 0.2)

        def asked_again():
            self.assertEqual(harness.walk_files(mount.path), before)
            return all(server.requests("metadata") > 0 for server in servers)
        harness.wait_for(asked_again, "the listings are renewed")
        harness.wait_for(lambda: sum(server.active() for server in servers) == 0, "all is answered")
        self.assertEqual(harness.walk_files(mount.path), before)
        mount = self.remount(mount, *servers)
        self.assertEqual(harness.walk_files(mount.path), before)

    def test_n5_confirmed(self):
        """N5: A server that fails, or answers with nothing or with less than before, never makes a
        listing shorter until a later answer confirms it."""
        mount = self.mount(self.server, options=["--metadata-ttl", f"{TTL_S}s"])
        self.assertEqual(os.listdir(mount.path), ["A", "B"])
        patient = os.listdir(mount / "A")[0]
        study = os.listdir(mount / f"A/{patient}")[0]
        series = os.listdir(mount / f"A/{patient}/{study}")
        harness.wait_for(lambda: self.server.active() == 0, "nothing is under way")
        self.server.reset()
        self.server.mutate(drop_collection="B", hide_series=series[0])
        cases = ((mount.path, ["A"], "getCollectionValues"),
                 (mount / f"A/{patient}/{study}", series[1:], "getSeries"))
        for directory, shorter, call in cases:
            with self.subTest(directory=directory):
                full = sorted(set(os.listdir(directory)) | set(shorter))
                self.assertEqual(os.listdir(directory), full)

                def shrunk():
                    names = os.listdir(directory)
                    self.assertIn(names, (full, shorter))
                    return names == shorter
                harness.wait_for(shrunk, "the name goes in the end")
                self.assertGreaterEqual(self.server.endpoint_requests(call), 2,
                                        "one answer was enough")
        self.server.mutate(restore_collection="B", show_series=series[0])
        harness.wait_for(lambda: os.listdir(mount.path) == ["A", "B"], "B is back")
        harness.wait_for(lambda: os.listdir(cases[1][0]) == series, "the series is back")


class ByPath(harness.MountCase):
    def setUp(self):
        super().setUp()
        self.server = self.archive(
            "--synthetic", "WIDE:patients=300,studies=2,series=2,images=2,size=32x32")
        self.mounted = self.mount(self.server)
        harness.wait_for(lambda: self.server.endpoint_requests("getCollectionValues"), "the root")
        harness.wait_for(lambda: self.server.active() == 0, "the root is answered")
        self.server.reset()

    def test_n6(self):
        """N6: A patient that exists but was never listed can be reached by path; that asks the
        archive for this one name."""
        patient = sorted({path.split("/")[1] for path in self.server.truth("WIDE")})[137]
        harness.run("bash", "-c", 'cd "$1"', "-", self.mounted / f"WIDE/{patient}")
        self.assertEqual(self.server.requests("metadata"), 1, self.server.counters())
        self.assertEqual(self.server.endpoint_requests("getPatient"), 0)
        self.assertEqual(len(os.listdir(self.mounted / f"WIDE/{patient}")), 2)
        self.assertEqual(self.server.requests("metadata"), 1, self.server.counters())

    def test_n6_no_such_name(self):
        """N6: A name that does not exist gives ENOENT, and that is remembered for a short while."""
        for name in ("WIDE/nobody", "NARROW"):
            self.server.reset()
            for _ in range(20):
                self.assertEqual(harness.failure_of(os.stat, self.mounted / name), "ENOENT")
            self.assertLessEqual(self.server.requests("metadata"), 1, self.server.counters())

    def test_n6_such_a_name_after_all(self):
        """N6: A name that does not exist gives ENOENT, and that is remembered for a short while.

        At the longest until a listing has it.
        """
        server = self.archive("--synthetic", "A:patients=1,studies=1,series=1,images=1,size=16x16")
        mount = self.mount(server, cache=self.cache + "2", options=["--metadata-ttl", "1s"])
        first = os.listdir(mount / "A")[0]
        coming = mount / f"A/{first[:-1]}2"
        self.assertEqual(harness.failure_of(os.stat, coming), "ENOENT")
        server.mutate(add_patients={"collection": "A", "count": 1})
        harness.wait_for(lambda: len(os.listdir(mount / "A")) == 2, "the new patient is listed")
        self.assertIsNone(harness.failure_of(os.stat, coming))

    def test_n6_leading_dots(self):
        """N6: Names with a leading dot do not exist, but for .tcia, which every directory has and no
        listing shows; and asking for them asks nobody."""
        self.assertTrue(os.path.isdir(self.mounted / ".tcia"))
        self.assertTrue(os.path.isdir(self.mounted / "WIDE/.tcia"))
        self.assertEqual(os.listdir(self.mounted.path), ["WIDE"])
        for name in (".hidden", "WIDE/.DS_Store", "WIDE/.Trash-1000", ".git", "WIDE/.nobody/.svn"):
            self.assertEqual(harness.failure_of(os.stat, self.mounted / name), "ENOENT")
        self.assertEqual(self.server.requests("metadata"), 0, self.server.counters())


class HiddenFiles(harness.MountCase):
    def test_n7(self):
        """N7: The files in .tcia tell all rows that the archive has, as they are stored; where some
        were never listed the archive is asked for listings, never for images. Their sizes are
        exact."""
        server = self.archive("--synthetic", "A:patients=30,studies=2,series=2,images=1")
        mount = self.mount(server)
        file = mount / "A/.tcia/series.json"
        size = os.stat(file).st_size
        with open(file, "rb") as opened:
            text = opened.read()
        self.assertEqual(len(text), size)
        told = {row["Path"] + "/" for row in json.loads(text)}
        self.assertEqual(len(told), 120)
        wanted = {path[:path.rindex("/") + 1] for path in server.truth("A")}
        self.assertEqual(told, wanted)
        self.assertEqual(server.requests("images"), 0)
        self.assertLess(server.requests("metadata"), METADATA_REQUESTS_MAX)

    def test_n7_all_or_nothing(self):
        """N7: What cannot be had gives an error, never a part of the rows."""
        server = self.archive("--synthetic", "A:patients=30,studies=1,series=1,images=1")
        mount = self.mount(server)
        patients = os.listdir(mount / "A")
        os.listdir(mount / f"A/{patients[3]}")
        server.stop()
        self.assertEqual(harness.failure_of(open, mount / "A/.tcia/series.csv"), "EIO")
        with open(mount / "A/.tcia/patients.csv", encoding="utf-8") as table:
            self.assertEqual(len(table.readlines()), 31)


if __name__ == "__main__":
    harness.main()
