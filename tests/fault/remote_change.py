# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Rows of the fault matrix: what changes under way. Tokens, sizes, series, lists, and the plan itself."""

import http.server
import json
import os
import random
import threading
import time

import harness
import matrix
from matrix import OK, Row, fault, images, zips

EIO = frozenset({"EIO"})
EITHER = OK | EIO
REFUSED = EIO | frozenset({"EACCES"})
STALE = frozenset({"ESTALE"})
ANY = EITHER | STALE | frozenset({"ETIMEDOUT", "EACCES", "ENOENT"})
TTL = ("--metadata-ttl", "1s")
SECRET = "username = alice\npassword = right\n"
ACCOUNT = ("--synthetic", "C:patients=1,studies=1,series=2,images=3,size=32x32", "--user", "alice:right")
SMALL = ("--synthetic", "C:patients=1,studies=1,series=2,images=3,size=32x32")
SEVERAL = ("--synthetic", "C:patients=4,studies=1,series=2,images=4,size=32x32")


def with_account(name, plan, **more):
    """A row with a named account, which has to fetch tokens."""
    more = {"archive": ACCOUNT, "secret": SECRET, "options": ("--api", "v2", *TTL), **more}
    return Row(f"token_{name}", plan, **more)


def token(action, times=-1, **more):
    """All tokens have expired, and this is what becomes of asking for new ones."""
    return [fault("*getImage*", "expire_tokens", 1), fault("*oauth/token", action, times, **more)]


def token_body(**values):
    return {"action": "status", "body": json.dumps(values), "headers": {"Content-Type": "application/json"}}


# ---- sizes

def drifted(factor, plus, images_only=False):
    """All sizes the archive announces, in lists and in the drill-down, are wrong."""
    def wrong(size):
        return size * factor + plus

    def plan(case):
        rows = json.loads(case.get("v4/getSeries", Collection="C"))
        if not images_only:
            for row in rows:
                row["FileSize"] = wrong(row["FileSize"])
        faults = [fault("*/getSeries", "status", body=json.dumps(rows),
                        headers={"Content-Type": "application/json"})]
        return faults + [fault(endpoint, "status", code=500) for endpoint in
                         ("*getImageDrillDown", "*getStudyDrillDownWithSeriesIds", "*getSimpleSearch")]
    return plan


def drilled(size_of):
    """The drill-down announces other sizes for the images, size_of(the true one)."""
    def plan(case):
        rows = []
        for path, (_, size) in case.paths.items():
            _, _, study, series, image = path.split("/")
            rows.append({"imagePkId": len(rows), "seriesPkId": 1, "sopInstanceUid": image[:-4],
                         "seriesInstanceUid": series, "studyInstanceUid": study, "size": size_of(size)})
        return [fault("*getImageDrillDown", "status", body=json.dumps(rows),
                      headers={"Content-Type": "application/json"})]
    return plan


def look_and_read(case):
    return {**case.list_tree(), **{path: outcome if outcome[:4] != "size" else "ok"
                                   for path, outcome in case.stat_all().items()}, **case.read_all()}


# ---- series

def replaced_between_reads(other_size):
    def operation(case):
        outcomes = case.read_all()
        for series in case.series_uids():
            case.server.mutate(replace_series=series, other_size=other_size)
        case.learn()
        outcomes.update({path: outcome for path, outcome in case.read_all().items() if outcome != "ok"})

        def all_new():
            case.list_tree()
            case.read_all()
            return all(case.served.get(path) == what for path, what in case.paths.items())
        harness.wait_for(all_new, "the new bytes of every instance", 60)
        return outcomes
    return operation


def replaced_under_an_open_file(other_size):
    """Whoever holds a file open sees its old bytes to the end, or ESTALE."""
    def operation(case):
        path = sorted(case.paths)[0]
        old = case.server._request(f"instance?sop={path.split('/')[-1][:-4]}")
        with open(case.mount / path, "rb", buffering=0) as file:
            begin = os.pread(file.fileno(), 1000, 0)
            case.server.mutate(replace_series=path.split("/")[3], other_size=other_size)
            case.learn()

            def new():
                case.list_tree()
                return case.read(path) == "ok" and case.served[path] == case.paths[path]
            harness.wait_for(new, "the new bytes", 60)
            try:
                whole = begin + os.pread(file.fileno(), 1 << 20, 1000)
            except OSError as failure:
                return {path: matrix.errno_name(failure)}
        if whole != old:
            raise matrix.Violation(f"a mixture: {len(whole)} bytes that never were")
        return {path: "ok"}
    return operation


def replaced_while_downloading(case):
    """The download is slow enough for the series to change in its middle."""
    def change():
        harness.wait_for(lambda: case.server.active("getImage"), "the download")
        with case.learning:
            case.server.mutate(replace_series=case.series_uids()[0], other_size=True)
            case.learn()
    changer = threading.Thread(target=change)
    changer.start()
    try:
        return case.read_all()
    finally:
        changer.join()


def hidden_and_shown(case):
    for series in case.series_uids():
        case.server.mutate(hide_series=series)
    outcomes = case.read_all()
    for series in case.series_uids():
        case.server.mutate(show_series=series)
    return outcomes


# ---- lists that shrink

def shrinking(endpoint, times):
    """The list lacks all but its first row, so many times."""
    def plan(case):
        queries = {"getPatient": {"Collection": "C"}, "getSeries": {"Collection": "C"},
                   "getSOPInstanceUIDs": {"SeriesInstanceUID": case.series_uids()[0]},
                 "getCollectionValues": {}}
        rows = json.loads(case.get(f"v4/{endpoint}", **queries[endpoint]))[:1]
        match = queries[endpoint] if endpoint == "getSOPInstanceUIDs" else {}
        return [fault(f"*/{endpoint}", "status", times, body=json.dumps(rows), match=match,
                      headers={"Content-Type": "application/json"})]
    return plan


def list_for_a_while(case):
    outcomes = {}
    for _ in range(8):
        for directory, outcome in case.list_tree().items():
            if outcomes.get(directory, "ok") == "ok":
                outcomes[directory] = outcome
        time.sleep(0.4)
    return outcomes


# ---- everything at once

def restless(case):
    """Readers go on while the plan changes all the time; no errno surprises, no byte is wrong."""
    over = threading.Event()
    outcomes = {}
    chance = random.Random(7)
    actions = [images("status", 2, code=503), images("reset_after_bytes", 2, n=3000), zips("corrupt", 2, k=1),
               zips("drop_entries", 2, k=[0, 2]), zips("wrong_crc", 2, k=0), zips("close_after_bytes", 2, n=4000),
               images("html", 2), [fault("*", "status", 3, code=502)], [fault("*", "empty", 3)], [], [],
               [fault("*", "latency_ms", 5, n=300)]]

    def read():
        while not over.is_set():
            for path, outcome in {**case.list_tree(), **case.read_all()}.items():
                if outcomes.get(path, "ok") == "ok":
                    outcomes[path] = outcome
    with matrix.concurrent.futures.ThreadPoolExecutor(3) as readers:
        pending = [readers.submit(read) for _ in range(3)]
        for _ in range(20):
            case.server.plan(*chance.choice(actions))
            if chance.random() < 0.3:
                with case.learning:
                    case.server.mutate(replace_series=chance.choice(case.series_uids()), other_size=True)
                    case.learn()
            time.sleep(0.3)
        over.set()
        for future in pending:
            future.result()
    return outcomes


# ---- redirects

class Elsewhere:
    """Another server on this machine, which writes down what it is sent."""

    def __init__(self):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(dict(self.headers))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/nbia-api/services/v2/getImage"

    def end(self):
        self.server.shutdown()
        self.server.server_close()


def redirected(code):
    def plan(case):
        case.elsewhere = Elsewhere()
        case.stack.callback(case.elsewhere.end)
        return images("status", code=code, headers={"Location": case.elsewhere.url})
    return plan


def read_and_ask_elsewhere(case):
    outcomes = case.read_all()
    if case.elsewhere.asked:
        raise matrix.Violation(f"the token may have travelled: {case.elsewhere.asked}")
    return outcomes


ROWS = [
    # Tokens that end in mid-session.
    with_account("expires", [fault("*getImage*", "expire_tokens", 1)]),
    with_account("expires_all_the_time", [fault("*", "expire_tokens", 6)], expect=EITHER | REFUSED),
    with_account("expires_unnoticed_by_lists", [fault("*/getSeries", "expire_tokens", 1)],
                 operation=matrix.Case.list_tree, looked=False,
                 # A token that worked a moment ago is not doubted when a list comes empty.
                 expect=OK | frozenset({"less", "ENOENT"})),
    *[with_account(f"not_renewed_{name}", token(**action), expect=REFUSED, recovers_s=recovers_s)
      for name, action, recovers_s in (
          # A password that is refused locks accounts: it is not tried again within a minute.
          ("401", {"action": "unauthorized"}, 100),
          ("500", {"action": "status", "code": 500}, 45),
          ("503", {"action": "status", "code": 503}, 45),
          ("html", {"action": "html"}, 45), ("empty", {"action": "empty"}, 45),
          ("reset", {"action": "reset_after_bytes", "n": 0}, 45),
          ("cut", {"action": "close_after_bytes", "n": 20}, 45),
          ("invalid", {"action": "status", "body": '{"access_token":'}, 45),
          ("none", token_body(expires_in=300), 45),
          ("of_null", token_body(access_token=None, expires_in=300), 45),
          ("of_numbers", token_body(access_token=[1, 2], expires_in="x"), 45),
          ("empty_text", token_body(access_token="", expires_in=300), 45),
          ("with_a_header", token_body(access_token="x\r\nX-Evil: 1", expires_in=300), 45),
          ("long", token_body(access_token="x" * 70_000, expires_in=300), 45),
          ("deep", {"action": "status", "body": "[" * 200 + "]" * 200}, 45),
          ("unknown_to_all", token_body(access_token="stranger", expires_in=300), 45))],
    with_account("of_a_gib", token("status", body='{"access_token":"', fill="A", n=1 << 30),
                 expect=REFUSED, memory_max_mib=250),
    with_account("stalls", token("stall_before_head"), expect=REFUSED | frozenset({"ETIMEDOUT"})),
    *[with_account(f"life_{name}", token(times=1, **token_body(access_token="stranger", expires_in=life)),
                   expect=EITHER | REFUSED)
      for name, life in (("zero", 0), ("negative", -5), ("huge", 10 ** 18), ("text", "300"), ("object", {}))],
    *[with_account(f"redirect_{code}", redirected(code), operation=read_and_ask_elsewhere, expect=EIO,
                   cause="not followed") for code in (301, 302, 303, 307, 308)],
    # Sizes.
    *[Row(f"drift_{name}", drifted(*how), look_and_read, archive=SMALL, looked=False,
          expect=lambda path: EITHER | frozenset({"ENOSPC"}), options=TTL, versions=True)
      for name, how in (("larger", (1, 1000)), ("smaller", (1, -1000)), ("double", (2, 0)), ("zero", (0, 0)),
                        ("one", (0, 1)), ("thousandfold", (1000, 0)))],
    *[Row(f"drill_down_{name}", drilled(size_of), look_and_read, archive=SMALL, looked=False, options=TTL,
          expect=OK | STALE)
      for name, size_of in (("larger", lambda size: size + 4096), ("smaller", lambda size: size - 1000),
                            ("zero", lambda size: 0), ("negative", lambda size: -size),
                            ("null", lambda size: None), ("text", str), ("fraction", lambda size: size + 0.5),
                            ("huge", lambda size: 1 << 62), ("beyond", lambda size: 10 ** 40),
                            ("list", lambda size: [size]))],
    # Series under the same UID.
    *[Row(f"replaced_{name}_{size}", operation=operation(size == "other_size"), archive=SMALL, options=TTL,
          expect=OK | STALE, deadline_s=60, versions=True)
      for name, operation in (("between_reads", replaced_between_reads),
                              ("under_an_open_file", replaced_under_an_open_file))
      for size in ("same_size", "other_size")],
    Row("replaced_while_downloading", zips("drip", n=6000), replaced_while_downloading, archive=SMALL,
        options=TTL, expect=EITHER | STALE, versions=True),
    Row("hidden_and_shown", operation=hidden_and_shown, archive=SMALL, options=TTL,
        expect=OK | frozenset({"EACCES", "ENOENT"})),
    # Lists that shrink, and come back.
    *[Row(f"shrinks_once_{endpoint}", shrinking(endpoint, 1), list_for_a_while, archive=SEVERAL, options=TTL)
      for endpoint in ("getPatient", "getSeries")],
    Row("shrinks_once_getCollectionValues", shrinking("getCollectionValues", 1), list_for_a_while,
        archive=(*SMALL, "--synthetic", "D:patients=1,studies=1,series=1,images=1,size=16x16"),
        options=TTL),
    Row("shrinks_once_getSOPInstanceUIDs", shrinking("getSOPInstanceUIDs", 1), list_for_a_while,
        archive=(*SMALL, "--no-drill-down"), options=TTL),
    Row("shrinks_for_a_while", shrinking("getPatient", -1), list_for_a_while, archive=SEVERAL, options=TTL,
        expect=OK | frozenset({"less", "ENOENT"}), recovers_s=60),
    Row("restless", operation=restless, archive=SEVERAL, options=TTL, expect=ANY | frozenset({"less"}),
        recovers_s=60, keeps=False),
]
