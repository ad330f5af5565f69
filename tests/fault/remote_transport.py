# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Rows of the fault matrix: what happens to connections and in HTTP."""

import email.utils
import threading
import time

import matrix
from matrix import OK, Row, fault, images, zips

EIO = frozenset({"EIO"})
EACCES = frozenset({"EACCES"})
TIMED_OUT = frozenset({"ETIMEDOUT"})
EITHER = OK | EIO


def during_outage(seconds):
    """Reads begin while the fault holds; it goes after so long."""
    def operation(case):
        timer = threading.Timer(seconds, case.server.plan)
        timer.start()
        try:
            return case.read_all()
        finally:
            timer.join()
    return operation


def refused(case):
    """Nobody listens; later the archive is back on its port."""
    case.server.stop()
    try:
        return case.read_all()
    finally:
        case.server.restart()


def date_in(seconds):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def busy(code, retry_after):
    return {"action": "status", "code": code, "headers": {"Retry-After": retry_after}}


def raw(head, body=b"", **more):
    return {"action": "raw", "hex": (head.encode() + body).hex(), **more}


def with_length(length):
    def plan(case):
        body = case.zip_of()
        return (zips(**raw(f"{HEAD}Content-Length: {len(body) + length}\r\n\r\n", body)) +
                matrix.singles("status", code=500))
    return plan


HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"

ROWS = [
    # Connections.
    Row("refused", operation=refused, expect=EIO, cause="refused"),
    *[Row(f"reset_once_after_{n}", zips("reset_after_bytes", 1, n=n))
      for n in (0, 20, 100, 200, 1500, 1800, 5000, 7400)],
    *[Row(f"reset_for_ever_after_{n}", images("reset_after_bytes", n=n), expect=EIO, cause="connection")
      for n in (0, 100, 1000)],
    Row("reset_for_ever_late", images("reset_after_bytes", n=5000), expect=EITHER, cause="connection"),
    Row("reset_before_head_once", images("reset_after_bytes", 2, n=0)),
    Row("abort_once", zips("abort_after_bytes", 1, n=3000)),
    Row("abort_for_ever", zips("abort_after_bytes", n=3000), expect=OK),
    Row("stall_before_head", images("stall_before_head"), expect=TIMED_OUT, cause="no answer within"),
    Row("stall_before_head_once", images("stall_before_head", 1), expect=TIMED_OUT | OK),
    Row("stall_in_body", images("stall_after_bytes", n=1000), expect=TIMED_OUT, cause="no data"),
    Row("stall_late_in_body", images("stall_after_bytes", n=5000), expect=TIMED_OUT | OK),
    Row("stall_at_the_end", zips("stall_after_bytes", n=7630), expect=TIMED_OUT | OK),
    Row("drip", zips("drip", n=1500)),
    Row("latency", images("latency_ms", n=1000)),
    Row("latency_beyond", images("latency_ms", n=20_000), expect=TIMED_OUT),
    # Statuses.
    Row("400", images("status", code=400), expect=EIO, cause="400"),
    Row("400_not_granted", images("status", code=400, body="Image with given SeriesInstanceUID,X, is "
                                  "not in public domain."), expect=EACCES, cause="public domain",
        images_max=1),
    Row("401", images("unauthorized"), expect=EACCES, cause="401"),
    Row("403", images("status", code=403), expect=EACCES, cause="403"),
    Row("404", images("status", code=404), expect=frozenset({"ENOENT", "EIO"}), cause="404"),
    Row("404_html", images("html", code=404), expect=frozenset({"ENOENT", "EIO"}), cause="404"),
    Row("429_once", zips(times=1, **busy(429, "1"))),
    Row("429_date", lambda case: zips(times=1, **busy(429, date_in(2)))),
    Row("429_past_date", lambda case: zips(times=1, **busy(429, date_in(-999)))),
    Row("429_nonsense", zips(times=1, **busy(429, "soon"))),
    Row("429_for_ever", images(**busy(429, "0")), expect=EIO, cause="429", images_max=40),
    Row("429_for_an_hour", images(**busy(429, "3600")), expect=EIO, cause="429"),
    Row("429_absurd", images(**busy(429, "99999999999999999999")), expect=EIO, cause="429"),
    Row("429_far_date", lambda case: images(**busy(429, date_in(10 ** 9))), expect=EIO, cause="429"),
    Row("429_half_a_minute", images(**busy(429, "30")), expect=EIO | TIMED_OUT, cause="429"),
    Row("500", images("status", code=500), expect=EIO, cause="500"),
    Row("500_once", zips("status", 1, code=500)),
    Row("502_html", images("html", code=502), expect=EIO, cause="502 with a web page"),
    Row("502_html_once", zips("html", 1, code=502)),
    Row("503_for_a_while", images("status", code=503), operation=during_outage(2), expect=EITHER,
        hits=False),
    Row("503_for_ever", images("status", code=503), expect=EIO, cause="503", images_max=40),
    Row("504_once", zips("html", 1, code=504)),
    Row("200_empty", images("empty"), expect=EIO),
    Row("200_empty_once", zips("empty", 1)),
    Row("200_html", images("html"), expect=EIO, cause="web page"),
    Row("200_html_once", zips("html", 1)),
    Row("204", images("status", code=204), expect=EIO),
    Row("206", images("status", code=206, body="PK"), expect=EIO, cause="206"),
    # HTTP itself.
    Row("length_too_long", with_length(100), expect=OK),
    Row("length_too_short", with_length(-500), expect=OK),
    Row("length_negative", images(**raw(HEAD + "Content-Length: -5\r\n\r\nPK")), expect=EIO),
    Row("length_twice", images(**raw(HEAD + "Content-Length: 5\r\nContent-Length: 9\r\n\r\nPKxyz")),
        expect=EIO),
    Row("length_huge", images(**raw(HEAD + "Content-Length: 99999999999999999999\r\n\r\nPK")), expect=EIO),
    Row("chunks_of_garbage", images(**raw(HEAD + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n")),
        expect=EIO),
    Row("chunk_too_large", images(**raw(HEAD + "Transfer-Encoding: chunked\r\n\r\n"
                                        "ffffffffffffffffffff\r\nhello\r\n")), expect=EIO),
    Row("no_http", images(**raw("PK\3\4 hello")), expect=EIO),
    Row("no_bytes_at_all", images("raw"), expect=EIO),
    Row("half_a_head", images(**raw("HTTP/1.1 200 OK\r\nContent-Le")), expect=EIO),
    Row("long_header", images(**raw("HTTP/1.1 200 OK\r\nX: ", fill="x", n=1 << 20, tail="\r\n\r\nPK")),
        expect=EIO),
    Row("many_headers", images(**raw("HTTP/1.1 200 OK\r\n", fill="X-A: b\r\n", n=8 << 20, tail="\r\n")),
        expect=EIO, memory_max_mib=300),
    Row("endless_head", images(**raw("HTTP/1.1 200 OK\r\nX: ", fill="x", n=1 << 40)), expect=EIO,
        memory_max_mib=300),
    Row("endless_100s", images(**raw("", fill="HTTP/1.1 100 Continue\r\n\r\n", n=1 << 40)),
        expect=EIO | TIMED_OUT, memory_max_mib=300),
    Row("gzip_announced_but_none", images("status", headers={"Content-Encoding": "gzip"}, body="PK no"),
        expect=EIO),
    Row("unknown_encoding", images("status", headers={"Content-Encoding": "rot13"}, body="PK no"),
        expect=EIO),
    Row("redirect_loop", images("status", code=302, headers={"Location": "/nbia-api/loop"}) +
        [fault("unknown", "status", code=302, headers={"Location": "/nbia-api/loop"})], expect=EIO,
        cause="redirects"),
    Row("redirect_to_a_file", images("status", code=302, headers={"Location": "file:///etc/passwd"}),
        expect=EIO, cause="redirected"),
    Row("redirect_without_location", images("status", code=302), expect=EIO, cause="302"),
    Row("error_page_without_end", images("status", code=404, fill="x", n=1 << 40),
        expect=frozenset({"ENOENT", "EIO"}), memory_max_mib=300),
    Row("busy_page_without_end", images("status", code=503, fill="x", n=1 << 40), expect=EIO,
        memory_max_mib=300),
    Row("body_without_end", images("status", code=200, fill="x", n=1 << 40), expect=EIO,
        memory_max_mib=300),
]
