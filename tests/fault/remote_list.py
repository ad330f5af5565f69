# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Rows of the fault matrix: lists, at every level, one by one and in bulk.

One mount shows a fault at three levels side by side: of the patients of the collection P, of the
series of S, of the instances of I; the collection G is always well.
"""

import gzip
import json
import time

import matrix
from matrix import OK, Row, encoded, fault

EIO = frozenset({"EIO"})
TIMED_OUT = frozenset({"ETIMEDOUT"})
# Nothing was ever listed there, so an answer of nothing is shown, until the next one.
NOTHING = frozenset({"less", "EIO"})
ANY = EIO | TIMED_OUT | NOTHING | OK | frozenset({"EACCES", "ENOENT"})

SHAPE = ":patients=1,studies=1,series=1,images=2,size=16x16"
FOUR = tuple(word for name in "PSIG" for word in ("--synthetic", name + SHAPE))
WALKED = ("--synthetic", "C:patients=8,studies=1,series=1,images=2,size=16x16")
INSTANCE_ENDPOINTS = ("*getImageDrillDown", "*getStudyDrillDownWithSeriesIds", "*getSimpleSearch",
                      "*/getSOPInstanceUIDs")
JSON_TYPE = {"Content-Type": "application/json"}


def lists(action, times=-1, **more):
    """The same fault at the three levels."""
    return [fault("*/getPatient", action, times, match={"Collection": "P"}, **more),
            fault("*/getSeries", action, times, match={"Collection": "S"}, **more),
            *(fault(endpoint, action, times, **more) for endpoint in INSTANCE_ENDPOINTS)]


def collections(action, times=-1, **more):
    return [fault("*/getCollectionValues", action, times, **more)]


def bulk(action, times=-1, **more):
    return [fault("*/getSeries", action, times, match={"PatientID": None}, **more)]


def faulty_paths(case):
    """The directories of FOUR whose lists are faulty."""
    depth = {"P": 1, "S": 2, "I": 4}
    return {"/".join(path.split("/")[:depth[path[0]]]) for path in case.paths if path[0] in depth}


def list_four(case):
    """Only the faulty ones, and all of what is well up to its images' names."""
    well = [path for path in case.paths if path.startswith("G/")]
    parts = well[0].split("/")
    directories = ["/".join(parts[:depth]) for depth in range(0, 4)]
    for path in faulty_paths(case):  # on the way there, as everybody goes
        parts = path.split("/")
        for depth in range(1, len(parts)):
            case.list("/".join(parts[:depth]))
    return {directory: case.list(directory) for directory in
            [*directories, *sorted(faulty_paths(case))]}


def faulty(outcomes):
    """What the faulty directories may give; the others are well."""
    def expect(path):
        return outcomes if path[:1] in ("P", "S", "I") else OK
    return expect


def body(content, **more):
    if isinstance(content, str):
        content = content.encode()
    return {"action": "status", "hex": content.hex(), "headers": JSON_TYPE, **more}


def four(name, action, outcomes=EIO, **more):
    """A row for the three levels, and one for the root of the same fault."""
    parameters = dict(action) if isinstance(action, dict) else {"action": action}
    requests = more.pop("metadata_max", None)
    if outcomes is NOTHING:  # believed for a minute at most, unless the time to live is less
        more["options"] = ("--metadata-ttl", "2s")
    return [Row(f"lists_{name}", lists(**parameters), list_four, faulty(outcomes), archive=FOUR,
                looked=False, metadata_max=requests, **more),
            Row(f"root_{name}", collections(**parameters), lambda case: {"": case.list("")}, outcomes,
                archive=FOUR, looked=False, early=True, **more)]


def known(name, action, **more):
    """What was listed before stays listed, whatever comes of the renewals; so does its opposite, new
    names, come in the end."""
    parameters = dict(action) if isinstance(action, dict) else {"action": action}
    plan = lists(**parameters) + collections(**parameters)

    def operation(case):
        outcomes = {}
        for _ in range(6):
            for directory, outcome in case.list_tree().items():
                if outcomes.get(directory, "ok") == "ok":
                    outcomes[directory] = outcome
            time.sleep(0.4)
        return outcomes
    return Row(f"known_{name}", plan, operation, archive=FOUR, options=("--metadata-ttl", "1s"), **more)


def rows_of(case, endpoint, **parameters):
    return json.loads(case.get(endpoint, **parameters))


def with_rows(change_patients=None, change_series=None, change_instances=None):
    """The real lists, each row changed; a change gives the rows to send for one."""
    def plan(case):
        faults = []
        if change_patients:
            rows = [new for row in rows_of(case, "v4/getPatient", Collection="P")
                    for new in change_patients(row)]
            faults.append(fault("*/getPatient", match={"Collection": "P"}, **body(json.dumps(rows))))
        if change_series:
            rows = [new for row in rows_of(case, "v4/getSeries", Collection="S")
                    for new in change_series(row)]
            faults.append(fault("*/getSeries", match={"Collection": "S"}, **body(json.dumps(rows))))
        if change_instances:
            series = next(path.split("/")[3] for path in case.paths if path.startswith("I/"))
            rows = [new for row in rows_of(case, "v4/getSOPInstanceUIDs", SeriesInstanceUID=series)
                    for new in change_instances(row)]
            faults += [fault(endpoint, "status", code=500) for endpoint in INSTANCE_ENDPOINTS[:3]]
            faults.append(fault("*/getSOPInstanceUIDs", **body(json.dumps(rows)),
                                match={"SeriesInstanceUID": series}))
        return faults
    return plan


def beside(**values):
    """Each row, and the same once more with these values."""
    return lambda row: [row, {**row, **values}]


def instead(**values):
    return lambda row: [{**row, **values}]


def odd_name(name, text):
    """An id nobody would want beside the real ones, at every level. It is shown encoded, or not at
    all; the real ones stay."""
    uids = {"StudyInstanceUID": text, "SeriesInstanceUID": text}
    return Row(f"odd_{name}", with_rows(beside(PatientId=text), beside(**uids),
                                        beside(SOPInstanceUID=text)),
               list_four, archive=FOUR, looked=False, extra=(encoded(text), encoded(text) + ".dcm"))


def read_four(case):
    outcomes = list_four(case)
    outcomes.update(case.read_all())
    return outcomes


DEEP = "[" * 200 + "]" * 200
DEEP_ROW = '[{"PatientId":"P-0001","Collection":' + '{"a":' * 200 + "1" + "}" * 200 + "}]"
GIB = 1 << 30

ROWS = [
    # No list at all.
    *four("empty", "empty", NOTHING),
    *four("204", {"action": "status", "code": 204}, NOTHING),
    *four("html", "html", cause="web page"),
    *four("502_html", {"action": "html", "code": 502}, cause="502"),
    *four("500", {"action": "status", "code": 500}, cause="500"),
    *four("503", {"action": "status", "code": 503}, cause="503", metadata_max=60),
    *four("400", {"action": "status", "code": 400}, cause="400"),
    *four("401", "unauthorized", EIO | frozenset({"EACCES"}), cause="401"),
    *four("403", {"action": "status", "code": 403}, EIO | frozenset({"EACCES"}), cause="403"),
    *four("404", {"action": "status", "code": 404}, EIO | frozenset({"ENOENT"}), cause="404"),
    *four("429_for_an_hour", {"action": "status", "code": 429, "headers": {"Retry-After": "3600"}},
          cause="429"),
    *four("reset", {"action": "reset_after_bytes", "n": 0}, cause="connection"),
    *four("reset_inside", {"action": "reset_after_bytes", "n": 10}, cause="connection"),
    *four("cut", {"action": "close_after_bytes", "n": 10}),
    *four("abort", {"action": "abort_after_bytes", "n": 10}),
    *four("stall", "stall_before_head", TIMED_OUT, cause="no answer"),
    *four("stall_inside", {"action": "stall_after_bytes", "n": 10}, TIMED_OUT, cause="no data"),
    *four("drip", {"action": "drip", "n": 400}, OK),
    *four("reset_once", {"action": "reset_after_bytes", "n": 10, "times": 1}, OK),
    *four("503_once", {"action": "status", "code": 503, "times": 1}, OK),
    # No JSON, or none of ours.
    *four("invalid", body('[{"Collection":}]')),
    *four("unfinished", body('[{"Collection":"P"}')),
    *four("no_quotes", body("[{Collection:P}]")),
    *four("nan", body('[{"ImageCount":NaN}]')),
    *four("object", body('{"Collection":"P"}')),
    *four("null", body("null")),
    *four("text", body('"P"')),
    *four("arrays", body('[["P"],["Q"]]')),
    *four("nulls", body("[null,null]")),
    *four("empty_rows", body("[{},{}]"), NOTHING),
    *four("text_behind", body('[{"a":1}] and more')),
    *four("two_lists", body('[{"a":1}][{"b":2}]')),
    *four("utf16", body('[{"Collection":"P"}]'.encode("utf-16"))),
    *four("deep", body(DEEP)),
    *four("deep_row", body(DEEP_ROW)),
    *four("gzip_damaged", body(gzip.compress(b"[]")[:-6] + b"xx", headers={"Content-Encoding": "gzip"}),
          NOTHING),
    *four("gzip_bomb", body(gzip.compress(b'[{"a":"' + b"A" * (80 << 20)),
                            headers={"Content-Encoding": "gzip"}), memory_max_mib=250),
    *four("text_of_a_gib", {"action": "status", "body": '[{"Collection":"', "fill": "A", "n": GIB,
                            "tail": '"}]'}, memory_max_mib=250),
    *four("name_of_a_gib", {"action": "status", "body": '[{"', "fill": "A", "n": GIB}, memory_max_mib=250),
    *four("number_of_a_gib", {"action": "status", "body": '[{"a":', "fill": "1", "n": GIB},
          memory_max_mib=250),
    *four("brackets_of_a_gib", {"action": "status", "fill": "[", "n": GIB}, memory_max_mib=250),
    *four("web_page_of_a_gib", {"action": "status", "body": "<html>", "fill": "<p>", "n": GIB},
          memory_max_mib=250),
    *four("members", body("[{" + ",".join(f'"a{i}":1' for i in range(5000)) + "}]")),
    # Rows with something odd in them: the real names are shown, and read right.
    Row("numbers_as_text", with_rows(change_series=instead(ImageCount="2", FileSize="9999999")), read_four,
        archive=FOUR, looked=False),
    Row("numbers_negative", with_rows(change_series=instead(ImageCount=-2, FileSize=-1)), read_four,
        archive=FOUR, looked=False),
    Row("numbers_huge", with_rows(change_series=instead(ImageCount=10 ** 30, FileSize=1e300)), read_four,
        archive=FOUR, looked=False),
    Row("numbers_fractional", with_rows(change_series=instead(ImageCount=2.5, FileSize=0.1)), read_four,
        archive=FOUR, looked=False),
    Row("numbers_as_objects", with_rows(change_series=instead(ImageCount={"a": [1]}, FileSize=[[]])),
        read_four, archive=FOUR, looked=False),
    Row("numbers_null", with_rows(change_series=instead(ImageCount=None, FileSize=None)), read_four,
        archive=FOUR, looked=False),
    Row("more_than_fits", with_rows(change_series=instead(FileSize=1 << 62)), read_four, archive=FOUR,
        looked=False, options=("--metadata-ttl", "1s"),
        expect=lambda path: OK | frozenset({"ENOSPC"}) if path[:1] == "S" else OK),
    Row("attributes_odd", with_rows(instead(PatientSex=[1, {"b": None}], PatientName="\0\n\x7f" * 50),
                                    instead(Modality={}, SeriesDescription="x" * 70_000)), read_four,
        archive=FOUR, looked=False),
    Row("rows_twice", with_rows(lambda row: [row] * 3, lambda row: [row] * 3, lambda row: [row] * 3),
        read_four, archive=FOUR, looked=False),
    Row("rows_of_others", with_rows(beside(Collection="Q", PatientId="Q-1"),
                                    beside(Collection="Q", SeriesInstanceUID="1.2.3"),
                                    lambda row: [row]), read_four, archive=FOUR, looked=False),
    Row("rows_empty_beside", with_rows(lambda row: [row, {}], lambda row: [{}, row],
                                       lambda row: [row, {}]), read_four, archive=FOUR, looked=False),
    odd_name("nul", "a\0b"),
    odd_name("slash", "a/b"),
    odd_name("parent", ".."),
    odd_name("climbing", "../../etc/passwd"),
    odd_name("dot", "."),
    odd_name("empty", ""),
    odd_name("blank", " "),
    odd_name("newline", "a\nb"),
    odd_name("tcia", ".tcia"),
    odd_name("percent", "%2e%2E%00%"),
    odd_name("long", "9" * 300),
    odd_name("longer", "9" * 5000),
    odd_name("unicode", "\u202eabc\u00e9"),
    # One of the ways to the instances fails: another is taken.
    *[Row(f"instances_{name}_{endpoint.strip('*/')}",
          [fault(endpoint, **action), *(fault(other, "status", code=500) for other in before)], read_four,
          archive=FOUR, looked=False)
      for endpoint, before in (("*getImageDrillDown", ()), ("*getStudyDrillDownWithSeriesIds", ()),
                               ("*getSimpleSearch", ("*getStudyDrillDownWithSeriesIds",)))
      for name, action in {"500": {"action": "status", "code": 500}, "html": {"action": "html"},
                           "empty": {"action": "empty"}, "nulls": body("[null]"),
                           "cut": {"action": "close_after_bytes", "n": 30}}.items()],
    # In bulk: a walk that meets them asks patient by patient.
    *[Row(f"bulk_{name}", bulk(**action), archive=WALKED, looked=False, operation=matrix.Case.list_tree)
      for name, action in {
          "empty": {"action": "empty"}, "html": {"action": "html"},
          "500": {"action": "status", "code": 500}, "503": {"action": "status", "code": 503},
          "404": {"action": "status", "code": 404},
          "cut": {"action": "close_after_bytes", "n": 2000},
          "reset": {"action": "reset_after_bytes", "n": 2000},
          "stall": {"action": "stall_before_head"},
          "stall_inside": {"action": "stall_after_bytes", "n": 2000},
          "drip": {"action": "drip", "n": 500},
          "invalid": body('[{"Collection":}]'), "nulls": body("[null]"), "deep": body(DEEP),
          "gib": {"action": "status", "body": '[{"Collection":"', "fill": "A", "n": GIB},
      }.items()],
    # What was listed once.
    known("empty", "empty"),
    known("204", {"action": "status", "code": 204}),
    known("html", "html"),
    known("500", {"action": "status", "code": 500}),
    known("404", {"action": "status", "code": 404}),
    known("cut", {"action": "close_after_bytes", "n": 10}),
    known("empty_rows", body("[{},{}]")),
    known("nulls", body("[null]")),
    known("stall", "stall_before_head"),
    known("reset", {"action": "reset_after_bytes", "n": 0}),
]
