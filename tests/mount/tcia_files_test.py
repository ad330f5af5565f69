# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""The files in .tcia: tables that programs read, of every level, had without images; and metrics."""

import csv
import json
import os
import re
import signal
import subprocess
import time

import harness

PATIENTS = 30  # more than are asked for one by one
SYNTHETIC = f"PLAIN:patients={PATIENTS},studies=2,series=2,images=2,size=16x16"
HELD = {"endpoint": "*", "times": -1, "action": "stall_before_head"}

METRIC_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({METRIC_NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')


def read_csv(path):
    """The rows as a strict reader sees them, and the header."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True, restkey="too many", restval=None))
    for row in rows:
        if "too many" in row or None in row.values():
            raise AssertionError(f"not as wide as the header: {row}")
    with open(path, encoding="utf-8", newline="") as file:
        return rows, next(csv.reader(file))


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def parse_metrics(text):
    """{(name, labels): value} of the text format 0.0.4, and {name: type}; strict."""
    samples, types, helps, current = {}, {}, set(), None
    if not text.endswith("\n"):
        raise AssertionError("the last line has no end")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            if name in helps or len(line.split(" ", 3)) != 4:
                raise AssertionError(f"twice, or without a text: {line}")
            helps.add(name)
        elif line.startswith("# TYPE "):
            _, _, current, kind = line.split(" ")
            if current in types or current not in helps or kind not in ("counter", "gauge"):
                raise AssertionError(f"out of place: {line}")
            if (kind == "counter") != current.endswith("_total"):
                raise AssertionError(f"a counter, and no other, ends in _total: {line}")
            types[current] = kind
        else:
            match = SAMPLE.fullmatch(line)
            if not match or match[1] != current:
                raise AssertionError(f"no sample of {current}: {line}")
            rest, labels = match[2] or "", []
            while rest:
                label = LABEL.match(rest)
                if not label:
                    raise AssertionError(f"bad labels: {line}")
                labels.append((label[1], label[2]))
                rest = rest[label.end():]
            key = (match[1], tuple(sorted(labels)))
            if key in samples or len(dict(labels)) != len(labels):
                raise AssertionError(f"twice: {line}")
            samples[key] = float(match[3])
            if samples[key] < 0:
                raise AssertionError(f"negative: {line}")
    return samples, types


class TablesCase(harness.MountCase):
    def start(self, *arguments, options=()):
        server = self.archive("--synthetic", SYNTHETIC, *arguments)
        return server, self.mount(server, options=options)

    def assert_same(self, csv_path, json_path):
        """Both forms tell the same; each row leads to what is there. Answers the rows."""
        rows, header = read_csv(csv_path)
        objects = read_json(json_path)
        self.assertEqual(len(rows), len(objects))
        self.assertEqual(len(header), len(set(header)))
        self.assertEqual(set(header), {name for row in objects for name in row})
        for row, told in zip(rows, objects):
            self.assertEqual({name: value for name, value in row.items() if value},
                             {name: str(value) for name, value in told.items() if value != ""})
        for path in (csv_path, json_path):
            with open(path, "rb") as file:
                text = file.read()
                self.assertEqual(os.fstat(file.fileno()).st_size, len(text))
            self.assertNotIn(b"\r\n", text)
        return objects

    def assert_leads(self, mount, rows, level, below):
        """The paths of the rows are the directories at that depth below `below`."""
        wanted = []
        for directory, names, _ in os.walk(mount / below):
            names.sort()
            relative = os.path.relpath(directory, mount.path)
            if relative.count("/") == level:
                wanted.append(relative)
                names.clear()
        self.assertEqual([row["Path"] for row in rows], wanted)


class EveryLevel(TablesCase):
    def test_tables_of_every_level(self):
        server, mount = self.start()
        rows = self.assert_same(mount / "PLAIN/.tcia/series.csv", mount / "PLAIN/.tcia/series.json")
        self.assertEqual(server.endpoint_requests("getPatientStudy"), 0)
        self.assertLess(server.requests("metadata"), 8, server.counters())
        self.assertEqual(len(rows), PATIENTS * 4)
        self.assert_leads(mount, rows, 3, "PLAIN")
        self.assertIsInstance(rows[0]["ImageCount"], int)
        self.assertEqual(rows[0]["ImageCount"], 2)
        self.assertIsInstance(rows[0]["PatientID"], str)
        collections = self.assert_same(mount / ".tcia/collections.csv",
                                       mount / ".tcia/collections.json")
        self.assertEqual(collections, [{"Path": "PLAIN", "Collection": "PLAIN",
                                        "Server": f"127.0.0.1:{server.port}"}])
        patients = self.assert_same(mount / "PLAIN/.tcia/patients.csv",
                                    mount / "PLAIN/.tcia/patients.json")
        self.assert_leads(mount, patients, 1, "PLAIN")
        patient = patients[7]["Path"]
        studies = self.assert_same(mount / f"{patient}/.tcia/studies.csv",
                                   mount / f"{patient}/.tcia/studies.json")
        self.assert_leads(mount, studies, 2, patient)
        self.assertIn("StudyDate", studies[0])
        of_patient = self.assert_same(mount / f"{patient}/.tcia/series.csv",
                                      mount / f"{patient}/.tcia/series.json")
        self.assertEqual(of_patient, [row for row in rows if row["Path"].startswith(patient + "/")])
        study = studies[1]["Path"]
        of_study = self.assert_same(mount / f"{study}/.tcia/series.csv",
                                    mount / f"{study}/.tcia/series.json")
        self.assertEqual(of_study, [row for row in rows if row["Path"].startswith(study + "/")])
        series = of_study[0]["Path"]
        self.assertEqual(read_json(mount / f"{series}/.tcia/series.json"), of_study[:1])
        with open(mount / f"{series}/.tcia/LICENSE", encoding="utf-8") as file:
            self.assertIn(f"LicenseName: {of_study[0]['LicenseName']}\n", file.read())
        attributes = {name.removeprefix("user.tcia."): os.getxattr(mount / series, name).decode()
                      for name in os.listxattr(mount / series)}
        self.assertEqual(attributes, {name: str(value) for name, value in of_study[0].items()
                                      if name != "Path"})
        self.assertEqual(server.requests("images"), 0, "nothing of this needs an image")

    def test_instances(self):
        server, mount = self.start()
        truth = server.truth("PLAIN")
        first = sorted(truth)[0]
        series = os.path.dirname(first)
        table = f"{series}/.tcia/instances"
        before = self.assert_same(mount / f"{table}.csv", mount / f"{table}.json")
        self.assertEqual(server.requests("images"), 0)
        self.assertEqual([row["Path"] for row in before],
                         sorted(path for path in truth if path.startswith(series + "/")))
        self.assertEqual({(row["SizeOrigin"], row["MD5"], row["Cached"]) for row in before},
                         {("advertised", "", 0)})
        harness.md5_of(mount / first)
        harness.wait_for(lambda: all(row["Cached"] for row in read_json(mount / f"{table}.json")),
                         "the series is here")
        for row in self.assert_same(mount / f"{table}.csv", mount / f"{table}.json"):
            self.assertEqual((row["MD5"], row["Size"]), truth[row["Path"]])
            self.assertEqual(row["SizeOrigin"], "exact")

    def test_awkward_names(self):
        server = self.archive("--odd-names")
        mount = self.mount(server)
        for collection in read_json(mount / ".tcia/collections.json"):
            path = collection["Path"]
            self.assertTrue(os.path.isdir(mount / path))
            rows = self.assert_same(mount / f"{path}/.tcia/series.csv",
                                    mount / f"{path}/.tcia/series.json")
            self.assert_leads(mount, rows, 3, path)
            patients = self.assert_same(mount / f"{path}/.tcia/patients.csv",
                                        mount / f"{path}/.tcia/patients.json")
            self.assert_leads(mount, patients, 1, path)
            self.assertEqual({row["PatientID"] for row in rows},
                             {row["PatientID"] for row in patients})
        self.assertEqual(server.requests("images"), 0)


class Tools(TablesCase):
    def test_they_are_hidden_and_yet_ordinary(self):
        _, mount = self.start()
        found = harness.run("find", mount.path, "-name", "*.csv", "-o", "-name", ".tcia").stdout
        self.assertEqual(found, "")
        found = harness.run("find", mount / "PLAIN/.tcia", "-name", "*.csv").stdout.split()
        self.assertEqual([os.path.basename(path) for path in sorted(found)],
                         ["patients.csv", "series.csv"])
        lines = harness.run("grep", "-rhc", "PLAIN-0007", mount / "PLAIN/.tcia").stdout.split()
        self.assertEqual(sorted(lines), ["1", "1", "4", "4"], "a row is a line")
        copy = os.path.join(self.directory, "copy")
        harness.run("cp", mount / "PLAIN/.tcia/series.csv", copy)
        self.assertEqual(harness.md5_of(copy), harness.md5_of(mount / "PLAIN/.tcia/series.csv"))
        self.assertEqual(harness.failure_of(open, mount / "PLAIN/.tcia/series.csv", "w"), "EROFS")
        self.assertEqual(harness.failure_of(os.stat, mount / "PLAIN/.tcia/studies.csv"), "ENOENT")

    def test_what_changed_is_told(self):
        server, mount = self.start(options=["--metadata-ttl", "1s"])
        table = mount / "PLAIN/.tcia/patients.json"
        self.assertEqual(len(read_json(table)), PATIENTS)
        server.mutate(add_patients={"collection": "PLAIN", "count": 1})
        harness.wait_for(lambda: len(read_json(table)) == PATIENTS + 1, "the new patient is told")

    def test_a_long_table_is_read_in_any_way(self):
        server = self.archive("--synthetic",
                              "LONG:patients=500,studies=2,series=4,images=1,size=16x16")
        mount = self.mount(server)
        table = mount / "LONG/.tcia/series.json"  # longer than what is kept in memory
        with open(table, "rb") as file:
            whole = file.read()
            size = os.fstat(file.fileno()).st_size
            self.assertEqual(size, len(whole))
            self.assertGreater(size, 2 << 20)
            self.assertEqual(os.pread(file.fileno(), 100, size - 50), whole[-50:])
            self.assertEqual(os.pread(file.fileno(), 100, 1 << 20), whole[1 << 20:(1 << 20) + 100])
        self.assertEqual(len(json.loads(whole)), 4000)
        self.assertFalse([name for name in os.listdir(self.cache) if "text" in name])


class Failures(TablesCase):
    def reason(self, path):
        return os.getxattr(path, "user.tcia.error").decode()

    def test_server_down(self):
        server, mount = self.start()
        os.listdir(mount / "PLAIN")
        server.stop()
        table = mount / "PLAIN/.tcia/series.csv"
        self.assertEqual(harness.failure_of(open, table), "EIO")
        for directory in ("PLAIN", "PLAIN/.tcia"):
            self.assertIn(f"127.0.0.1:{server.port}", self.reason(mount / directory))
        told = read_json(mount / ".tcia/status.json")["recent_errors"]
        self.assertIn("/PLAIN/.tcia/series.csv", [row["path"] for row in told])
        self.assertEqual(len(read_csv(mount / "PLAIN/.tcia/patients.csv")[0]), PATIENTS)

    def test_offline(self):
        server, mount = self.start()
        empty = self.mount(server, options=["--offline"], cache=self.cache + "2")
        self.assertEqual(harness.failure_of(open, empty / ".tcia/collections.csv"), "ENETUNREACH")
        read_json(mount / "PLAIN/.tcia/patients.json")
        mount = self.remount(mount, server, options=["--offline"])
        self.assertEqual(harness.failure_of(open, mount / "PLAIN/.tcia/series.csv"), "ENETUNREACH")
        self.assertEqual(len(read_json(mount / "PLAIN/.tcia/patients.json")), PATIENTS)
        mount = self.remount(mount, server)
        rows = read_json(mount / "PLAIN/.tcia/series.json")
        mount = self.remount(mount, server, options=["--offline"])
        self.assertEqual(read_json(mount / "PLAIN/.tcia/series.json"), rows)

    def test_an_interrupt_ends_the_wait_and_others_go_on(self):
        server, mount = self.start()
        os.listdir(mount / "PLAIN")
        server.plan(HELD)
        table = mount / "PLAIN/.tcia/series.csv"
        waiting = self.background("cat", table, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        harness.wait_for(server.active, "the archive is asked")
        for directory in (mount.path, mount / "PLAIN"):
            self.assertTrue(os.listdir(directory), "nobody else waits")
        start = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        waiting.wait(harness.WAIT_S)
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual(waiting.stdout.read(), b"")
        waiting.stdout.close()
        waiting.stderr.close()

    def test_without_progress_the_wait_ends(self):
        server, mount = self.start(options=["--io-timeout", "2s"])
        os.listdir(mount / "PLAIN")
        server.plan(HELD)
        table = mount / "PLAIN/.tcia/series.csv"
        self.assertEqual(harness.failure_of(open, table), "ETIMEDOUT")
        self.assertIn("2 s", self.reason(mount / "PLAIN"))
        server.reset()


class Metrics(TablesCase):
    def metrics(self, mount):
        with open(mount / ".tcia/metrics", encoding="utf-8") as file:
            return parse_metrics(file.read())[0]

    def test_they_count_what_happens(self):
        server, mount = self.start()
        host = f"127.0.0.1:{server.port}"
        truth = server.truth("PLAIN")
        first = sorted(truth)[0]
        before = self.metrics(mount)
        self.assertEqual(before["tciafs_cache_misses_total", ()], 0)
        self.assertEqual(harness.md5_of(mount / first), truth[first][0])
        self.assertEqual(harness.failure_of(os.stat, mount / "PLAIN/nobody"), "ENOENT")
        with open(mount / first, "rb"):
            after = self.metrics(mount)
        self.assertEqual(after["tciafs_cache_misses_total", ()], 1)
        self.assertGreaterEqual(after["tciafs_cache_hits_total", ()], 1)
        self.assertGreaterEqual(after["tciafs_image_bytes_total", (("server", host),)],
                                truth[first][1])
        self.assertGreater(after["tciafs_cache_used_bytes", ()], 0)
        self.assertGreater(after["tciafs_cache_cap_bytes", ()], 0)
        self.assertEqual(after["tciafs_server_up", (("server", host),)], 1)
        for request in ("collections", "patient_series", "instances", "series_images"):
            key = (("outcome", "ok"), ("request", request), ("server", host))
            self.assertGreaterEqual(after["tciafs_requests_total", key], 1, request)
        operations = {dict(labels)["operation"] for name, labels in after
                      if name == "tciafs_operations_total"}
        self.assertLessEqual({"lookup", "open", "release"} if not self.unopened() else {"lookup"},
                             operations)
        for name, labels in before:
            if name.endswith("_total"):
                self.assertGreaterEqual(after[name, labels], before[name, labels])
        self.assertGreater(after["tciafs_uptime_seconds", ()], 0)
        self.assertGreater(after["tciafs_nodes", ()], 4)
        self.assertTrue([key for key in after if key[0] == "tciafs_build_info" and key[1]])

    def unopened(self):
        return "--ask-open" in os.environ.get("TCIAFS_TEST_MOUNT_OPTIONS", "")

    def test_a_server_that_is_down(self):
        server, mount = self.start()
        os.listdir(mount.path)
        server.stop()
        host = f"127.0.0.1:{server.port}"
        harness.wait_for(lambda: harness.failure_of(os.listdir, mount / "PLAIN") and
                         self.metrics(mount)["tciafs_server_up", (("server", host),)] == 0,
                         "it is found out")
        told = self.metrics(mount)
        self.assertTrue([key for key in told if key[0] == "tciafs_errors_total"])
        self.assertTrue([labels for name, labels in told if name == "tciafs_requests_total" and
                         dict(labels)["outcome"] != "ok"])

    def test_the_parser_is_strict(self):
        good = "# HELP a_total x y\n# TYPE a_total counter\n" 'a_total{l="v\\"",m="n"} 1\n'
        parse_metrics(good)
        for bad in (good[:-1], good.replace("HELP a_total x y", "HELP a_total"),
                    good.replace("counter", "gauge"), good.replace(" 1\n", "\n"),
                    good.replace('"n"', "n"), good + good.splitlines()[2] + "\n",
                    good.replace('\\"', '"'), good.replace("} 1", "} -1"), "b 1\n" + good):
            with self.subTest(bad=bad), self.assertRaises(AssertionError):
                parse_metrics(bad)


if __name__ == "__main__":
    harness.main()
