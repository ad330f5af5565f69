#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Writes the made part of the corpora: small, well-formed or nearly so, and the same every time.

    tests/fuzz/make_corpus.py        (files whose names begin with "found-" are left alone)
"""

import pathlib
import struct
import zlib

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
MADE = {}


def made(target, name, content):
    MADE[(target, name)] = content.encode() if isinstance(content, str) else content


# ---- zip ----

def raw_deflate(data, level=9, strategy=zlib.Z_DEFAULT_STRATEGY):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 8, strategy)
    return packer.compress(data) + packer.flush()


class Zip:
    """What java.util.zip writes, and its neighbours."""

    def __init__(self):
        self.body = b""
        self.directory = b""
        self.entries = 0

    def add(self, name, data, stored=False, descriptor="signed", zip64=False, level=9,
            strategy=zlib.Z_DEFAULT_STRATEGY):
        name = name.encode()
        packed = data if stored else raw_deflate(data, level, strategy)
        crc = zlib.crc32(data)
        shown = descriptor is None
        sizes = (len(packed), len(data)) if shown else (0, 0)
        extra = struct.pack("<HHQQ", 1, 16, sizes[1], sizes[0]) if zip64 else b""
        offset = len(self.body)
        common = struct.pack("<HHHI", 20, 0 if shown else 8, 0 if stored else 8, 0x5A210000)
        header = (0xFFFFFFFF, 0xFFFFFFFF) if zip64 else sizes
        self.body += b"PK\3\4" + common + struct.pack("<IIIHH", crc if shown else 0, *header,
                                                      len(name), len(extra)) + name + extra + packed
        wide = "<IQQ" if descriptor == "wide" else "<III"
        if not shown:
            signature = b"" if descriptor == "bare" else b"PK\7\x08"
            self.body += signature + struct.pack(wide, crc, len(packed), len(data))
        self.directory += b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack(
            "<IIIHHHHHII", crc, len(packed), len(data), len(name), 0, 0, 0, 0, 0, offset) + name
        self.entries += 1
        return self

    def end(self, zip64=False, comment=b""):
        whole = self.body + self.directory
        if zip64:
            at = len(whole)
            whole += b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, self.entries, self.entries,
                                             len(self.directory), len(self.body))
            whole += b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
            numbers = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        else:
            numbers = (self.entries, self.entries, len(self.directory), len(self.body))
        return whole + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, *numbers, len(comment)) + comment


def zips():
    text = b"CC BY 3.0\n" * 4
    noise = bytes((i * i * 31 + i // 3) & 0xFF for i in range(400))
    ramp = bytes(i & 0xFF for i in range(3000))
    yield "java.zip", Zip().add("LICENSE", text).add("00000001.dcm", ramp).end()
    yield "stored.zip", Zip().add("a", noise, stored=True, descriptor=None).add("d/", b"", stored=True,
                                                                              descriptor=None).end()
    yield "bare.zip", Zip().add("a", text, descriptor="bare").add("empty", b"", descriptor="bare").end()
    yield "wide.zip", Zip().add("a", text, descriptor="wide").end(zip64=True)
    yield "zip64.zip", Zip().add("a", noise, descriptor=None, zip64=True).end(zip64=True)
    yield "comment.zip", Zip().add("a", b"x", descriptor=None).end(comment=b"remark")
    yield "empty.zip", Zip().end()
    yield "license.zip", Zip().add("LICENSE", text).end()
    yield "cut.zip", Zip().add("a", ramp).end()[:90]
    yield "blocks.zip", Zip().add("0", noise, level=0).add("fixed", text, strategy=zlib.Z_FIXED).add(
        "rle", ramp, strategy=zlib.Z_RLE).add("huffman", ramp[:700], strategy=zlib.Z_HUFFMAN_ONLY).end()
    yield "bomb.zip", Zip().add("zeros", bytes(1 << 16)).add("one", bytes(1 << 16)).add("more", bytes(18929)).end()
    yield "over.zip", Zip().add("zeros", bytes((1 << 16) + 1)).end()
    yield "flipped.zip", Zip().add("a", ramp, descriptor=None).end().replace(b"\x5a", b"\x5b", 1)
    yield "trailing.zip", Zip().add("a", text).end() + b"\0"


# ---- DICOM ----

def element(group, number, vr, value, order="<", implicit=False):
    value = value.encode() if isinstance(value, str) else value
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN", "") else b" "
    tag = struct.pack(order + "HH", group, number)
    if implicit:
        return tag + struct.pack(order + "I", len(value)) + value
    if vr in ("OB", "OW", "SQ", "UN"):
        return tag + vr.encode() + struct.pack(order + "HI", 0, len(value)) + value
    return tag + vr.encode() + struct.pack(order + "H", len(value)) + value


def dicom(sop, syntax="1.2.840.10008.1.2.1", order="<", implicit=False, preamble=True, meta_sop=None,
          before=b"", pixels=b"pixels"):
    meta = element(2, 1, "OB", b"\0\1") + element(2, 3, "UI", meta_sop or sop) + element(
        2, 0x10, "UI", syntax)
    meta = element(2, 0, "UL", struct.pack("<I", len(meta))) + meta
    body = before + element(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.2", order, implicit)
    if sop:
        body += element(8, 0x18, "UI", sop, order, implicit)
    body += element(8, 0x60, "CS", "CT", order, implicit) + pixels
    return (bytes(128) + b"DICM" + meta if preamble else b"") + body


def heads():
    sop = "1.3.6.1.4.1.14519.5.2.1.7"
    sequence = (struct.pack("<HH", 8, 6) + b"SQ" + struct.pack("<HI", 0, 0xFFFFFFFF) +
                struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + element(8, 0x100, "SH", "A") +
                struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    unknown = (struct.pack("<HH", 8, 7) + b"UN" + struct.pack("<HI", 0, 0xFFFFFFFF) +
               struct.pack("<HHI", 0xFFFE, 0xE000, 10) + element(8, 0x100, "", b"AB", implicit=True) +
               struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))
    yield "explicit.dcm", dicom(sop)
    yield "implicit.dcm", dicom(sop, "1.2.840.10008.1.2", implicit=True)
    yield "big_endian.dcm", dicom(sop, "1.2.840.10008.1.2.2", order=">")
    yield "bare.dcm", dicom(sop, preamble=False)
    yield "bare_implicit.dcm", dicom(sop, preamble=False, implicit=True)
    yield "sequence.dcm", dicom(sop, before=sequence)
    yield "unknown.dcm", dicom(sop, before=unknown)
    yield "meta_only.dcm", dicom("", meta_sop=sop)
    yield "deflated.dcm", dicom("", "1.2.840.10008.1.2.1.99", meta_sop=sop)
    yield "other_meta.dcm", dicom(sop, meta_sop="9.9.9")
    yield "slash.dcm", dicom("../etc/passwd")
    yield "cut.dcm", dicom(sop)[:300]
    yield "built_explicit", bytes([9, 1, 2, 3, 4, 65, 3]) + b"abc" + bytes([1, 2, 3]) + b"xyz"
    yield "built_implicit", bytes([3, 9, 0, 0, 0, 0, 0, 1, 1, 4]) + b"abcdtail"
    yield "built_big_endian", bytes([21, 9, 9, 9, 9, 0, 0, 1, 3, 5]) + b"uvwxyz"
    yield "built_bare", bytes([0, 9, 9, 9, 9, 1, 0, 5]) + b"uvwxyz"


# ---- HTTP ----

HEADS = {
    "plain": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: y\r\n\r\n",
    "interim": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nServer: nginx\r\n\r\nTrailer: 1\r\n",
    "folded": "HTTP/2 429\r\nRetry-After: 120\r\n\tmore\r\n  : odd\r\nnocolon\r\n\r\n",
    "retry_seconds": "120",
    "retry_long": "99999999999999999999",
    "retry_date": "Fri, 07 Nov 2036 23:59:59 GMT",
    "retry_past": "Fri, 07 Nov 1997 23:59:59 GMT",
    "absolute": "https://Archive.example:443/a%20b?c=d#e",
    "relative": "../v2/getSeries?x=y z",
    "other_scheme": "file:///etc/passwd",
    "user": "http://user:secret@host/",
    "six": "https://[::1]:8080/",
    "no_scheme": "//elsewhere.example/path",
    "folded_empty": "HTTP/1.1 503\r\nRetry-After:\r\n 5\r\n \r\n\t6\r\n\r\n",
    "header_named_http": "HTTP/1.1 200 OK\r\nHTTP/x: y\r\n\r\n",
}

NAMES = {
    "collection": "\x0eTCGA-PRAD & /x\x08.hidden%",
    "dots": "\x01.\x02..",
    "encoded": "%2E%2Fa%25",
    "lower_hex": "%2e%2f",
    "instance": "1.2.840.dcm",
    "controls": "\x04a\nb\x00\x04a\x7f\x1f ",
    "same": "\x03abc\x03abc",
    "case": "\x03abc\x03aBc",
    "latin": b"\x05caf\xe9!\x05caf\xc3\xa9",
}


# ---- records ----

def catalog_records():
    def zigzag(value):
        return varint(value << 1 if value >= 0 else (-value << 1) - 1)

    def varint(value):
        out = b""
        while value >= 0x80:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    attributes = (varint(3) + bytes([3]) + varint(0 << 3 | 2) + bytes([5]) + varint(2 << 3) + b"CT" +
                  bytes([16]) + varint(1) + b"12345678")
    yield "row", b"\1\7" + zigzag(1700000000) + zigzag(524288) + varint(10) + b"2020-01-02" + zigzag(
        133) + zigzag(-1) + attributes
    yield "row_missing", b"\1\x08" + zigzag(1700000000000)
    yield "attributes", attributes
    yield "literal_name", varint(1) + b"\0" + varint(5) + b"Zweck" + varint(3 << 3 | 4) + b"123"
    yield "state", b"\1\3" + b"".join(zigzag(n) for n in (1700000000000, 3, 12, 0, 0))
    yield "values", bytes(range(8)) + bytes(8) + b"\x0a2020-01-02" + bytes(20) + bytes(
        [0, 3]) + b"abc" + bytes([0x22, 4, 0]) + b"text" + bytes([0x47, 2]) + b"ab" + bytes([0xA2, 1, 0, 9])


def cache_records():
    body = b"\1\3" + struct.pack("<q", 2 << 20) + bytes.fromhex("0123456789abcdef" * 2) + struct.pack(
        "<QQ", 1, 2)
    yield "instance", b"\x06key123" + body
    yield "absent", b"\x06key123\1\0" + struct.pack("<q", 12345)
    yield "series", (b"\0\1\6" + b"\x05scope\0\0\0\0\0\0\0" + b"\x031.2" + bytes(7) + b"\0" * 8 +
                     struct.pack("<qqqqqq", 1, 2, 3, 4, 5, 6))
    yield "values", struct.pack("<Q", 123456789) + b"\x05scope\x031.2\x0a2020-01-02" + bytes(
        range(64)) + b"\1\0\0\x20\1" + bytes(range(40))
    yield "journal", struct.pack("<Q", 77777777777) + b"\x031.2\1\0\0\x10\1" + bytes(8) + (
        b"\x031.3\0\5\0\0\0" b"\x031.4\1\0\0\x21\0" + bytes(range(24)))


# ---- NBIA ----

SERIES = ('{"SeriesInstanceUID":"1.2.%d","StudyInstanceUID":"1.1","Modality":"CT","SeriesDate":"2003-12-12 '
          '00:00:00.0","SeriesDescription":"CHEST/ABD","BodyPartExamined":"LUNG","SeriesNumber":"2.000000",'
          '"Collection":"C","PatientID":"P1","Manufacturer":"\\"GE\\"","ImageCount":%d,"FileSize":27844690,'
          '"TimeStamp":"2018-05-17 17:12:21.0","LicenseName":"Creative Commons Attribution 3.0"}')
JSON_BODIES = {
    "series": "[" + SERIES % (1, 133) + ",\r\n" + SERIES % (2, 1) + "]",
    "collections": '[{"Collection":"LIDC-IDRI"},{"Collection":"CT COLONOGRAPHY"},{"Collection":"C"}]',
    "patients": '[{"PatientId":"P1","PatientName":"","PatientSex":"F","Collection":"C"},{"PatientID":"P2"}, {}]',
    "sops": '[{"SOPInstanceUID":"1.2.1.1"},{"SOPInstanceUID":"1.2.1.2"},{"SOPInstanceUID":7}]',
    "studies": '[{"studyId":"1.1","seriesList":[{"seriesPkId":101,"seriesUID":"1.2.1","numberImages":2},'
               '{"seriesPkId":"102","seriesId":"1.2.2","numberImages":null}]}]',
    "search": '{"totalPatients":1,"facets":{"a":[1,{"b":[]}]},"resultSet":[{"subjectId":"P1","project":"C",'
              '"studyIdentifiers":[{"seriesIdentifiers":[101,"102"]}]}],"sort":"subject"}',
    "images": '[{"seriesInstanceUid":"1.2.1","sopInstanceUid":"1.2.1.1","size":524888},'
              '{"seriesInstanceUid":"1.2.1","sopInstanceUid":"1.2.1.2","size":null}]',
    "token": '{"access_token":"eyJhbGciOiJSUzI1NiJ9.e30.x","expires_in":7200,"token_type":"Bearer"}',
    "nested": '[{"a":{"b":[1,2,{"c":null}],"d":"e\\u00e9\\ud83d\\ude00"},"f":1.50,"g":true,"h":null}]',
    "deep": "[" + '{"a":' * 9 + "1" + "}" * 9 + "]",
    "latin": b'[{"Collection":"C","SeriesDescription":"IRM caf\xe9 \xc3\xa9"}]',
    "empty": "",
    "no_rows": " [ ] ",
    "mark": b"\xef\xbb\xbf[{}]",
    "html": "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head></html>",
    "english": "The user has not been granted the access to image with given SeriesInstanceUID,1.2. ",
    "wrong_path": "Server was not able to process your request\nHTTP 404 Not Found",
    "cut": ("[" + SERIES % (1, 133))[:200],
    "trailing": "[{}]]",
    "mismatched": "[{]]",
    "date": "12-12-2003 10:11:12.5",
    "iso_date": "2003-02-30T10:11:12",
    "number": "27844690.000000",
    "md5_list": "Filename,MD5Hash\n1-1.dcm,0123456789ABCDEF0123456789abcdef\n",
    "no_data": "No data found.",
}


def series_zips():
    def series(names, md5=True, last=b"", **form):
        pack = Zip().add("LICENSE", b"CC BY 3.0", **form)
        for number, name in enumerate(names, 1):
            pack.add(name, dicom("1.2.1.%d" % number, pixels=bytes(40 * number)), **form)
        if md5:
            rows = "".join("%s,%032x\n" % (name, number) for number, name in enumerate(names))
            pack.add("md5hashes.csv", ("Filename,MD5Hash\n" + rows).encode(), **form)
        if last:
            pack.add("last", last)
        return pack.end()

    yield "series.zip", series(["1-1.dcm", "1-2.dcm"])
    yield "plain.zip", series(["1-1.dcm"], md5=False)
    yield "twice.zip", series(["a", "a"])
    yield "odd.zip", series(["../../etc/passwd", "/abs", "b\\c"], last=b"no DICOM at all")
    yield "again.zip", series(["a"], last=dicom("1.2.1.1"))
    yield "stored.zip", series(["a"], stored=True, descriptor=None)
    yield "late_uid.zip", Zip().add("a", dicom("1.2.9", before=element(8, 8, "OB", bytes(3000)))).end()
    yield "license.zip", series([], md5=False)
    yield "cut.zip", series(["1-1.dcm", "1-2.dcm"])[:500]
    yield "sentence", JSON_BODIES["english"]
    yield "short", "P"


def import_files():
    ids = element(0x20, 0xd, "UI", b"1.2.3\0") + element(0x20, 0xe, "UI", b"1.2.3.4\0")
    patient = element(0x10, 0x20, "LO", b"P-0001") + element(0x13, 0x1010, "LO", b"C ")
    whole = dicom("1.2.1.1", pixels=patient + ids)
    pack = Zip().add("LICENSE", b"CC BY 3.0").add("a.dcm", whole)
    pack.add("b.dcm", dicom("1.2.1.2", pixels=patient + ids + bytes(500)))
    rows = "Filename,MD5Hash\na.dcm,%032x\nb.dcm,%032x\n" % (1, 2)
    yield "series.zip", pack.add("md5hashes.csv", rows.encode()).end()
    yield "twice.zip", Zip().add("a", whole).add("a", whole).end()
    yield "cut.zip", Zip().add("a", whole).add("b", whole).end()[:-30]
    yield "file.dcm", whole
    yield "no_series.dcm", dicom("1.2.1.1", pixels=patient)
    yield "text", b"Filename,MD5Hash\n"


def answers(choice, *parts):
    out = bytes([choice, 1])
    for how, body in parts:
        body = body.encode() if isinstance(body, str) else body
        out += bytes([how]) + struct.pack("<H", len(body)) + body
    return out


def nbia_sources():
    body = JSON_BODIES
    zipped = dict(series_zips())
    good, gone, refused = 0, 12, 7
    for family, name in enumerate(("v4", "v2", "v1", "auto")):
        token = [(good, body["token"])] if name == "v2" else []
        call = family * 8
        yield name + "_collections", answers(call, *token, (good, body["collections"]))
        yield name + "_patients", answers(call + 1, *token, (good, body["patients"]), (good, body["patients"]))
        yield name + "_series", answers(call + 2, *token, (good, body["series"]), (good, body["series"]))
        yield name + "_bulk", answers(call + 3, *token, (good, body["series"]), (good, body["series"]))
        yield name + "_instances", answers(call + 4, *token, (good, body["studies"]), (good, body["images"]))
        yield name + "_search", answers(call + 4, *token, (gone, body["wrong_path"]), (good, body["search"]),
                                        (good, body["images"]), (good, body["images"]))
        yield name + "_sops", answers(call + 4, *token, (gone, body["wrong_path"]), (gone, body["wrong_path"]),
                                      (good, body["sops"]))
        yield name + "_stream", answers(call + 5, *token, (good, zipped["series.zip"]))
        yield name + "_forms", answers(call + 5, *token, (gone, body["wrong_path"]), (good, zipped["license.zip"]),
                                       (good, zipped["plain.zip"]))
        yield name + "_image", answers(call + 6, *token, (good, dicom("1.2.1.1")), (good, "0" * 32))
    yield "token_refused", answers(0x20, (good, body["token"]), (refused, ""), (good, body["token"]),
                                   (good, body["collections"]))
    yield "token_elsewhere", answers(0x20, (good, body["html"]), (good, body["token"]), (good, body["collections"]))
    yield "token_wrong", answers(0x20, (refused, '{"error":"invalid_grant"}'))
    yield "auto_second", answers(0x18, (gone, body["wrong_path"]), (good, body["token"]), (good, body["collections"]))
    yield "restart", answers(0x00, (0x30, body["collections"]))
    yield "broken", answers(0x05, (0x20, zipped["series.zip"]))
    yield "halves", answers(0x04, (good, body["studies"]), (13, ""), (13, ""), (good, body["images"]), (13, ""))
    yield "times_out", answers(0x04, (good, body["studies"]), (0x40, ""), (good, body["images"]))
    yield "html", answers(0x02, (good, body["html"]))
    yield "no_data", answers(0x02, (gone, body["no_data"]))


DAMAGE = {
    "none": bytes([0, 0, 0, 0, 0, 0, 0, 0, 2]) + bytes([3, 0]) + b"abc\1" + bytes([2, 4, 0]) + b"defg\0",
    "changed": bytes([1, 40, 0, 0, 0, 7, 0, 2, 5, 0]) + b"hello\1",
    "left_out": bytes([2, 33, 0, 0, 9, 0, 0, 1, 5, 0]) + b"hello\0" + bytes([0, 3, 0]) + b"xyz\0",
    "twice": bytes([3, 30, 0, 0, 60, 0, 1, 18, 5, 0]) + b"hello\0",
    "put_in": bytes([4, 60, 0, 0, 0, 80, 0, 10, 5, 0]) + b"hello\0",
    "cut": bytes([5, 70, 0, 0, 0, 0, 0, 6, 5, 0]) + b"hello\0" + bytes([22, 0, 0, 0]),
}

SETTINGS = {
    "config": "# mine\nserver = https://archive.example/nbia-api\ncache-size=1.5T\nmetadata-ttl = 6h\n\n"
              "umask = 027\nmin-free = 5%\nallow-other\ndownloads = 4\nunknown-size = fetch\n",
    "unknown": "colour = blue\n",
    "credentials": "username = someone\npassword = geheim =\n# server = x\nserver = https://archive.example/"
                   "nbia-api/\nusername=other\n",
    "netrc": "machine archive.example login me password geheim\nmacdef x\n default login guest",
    "words": "rw,noatime,cache_size=50G,server=https://a\\,b/c,x-systemd.automount,uid=1000,context=a:b",
    "key": "0123-4567\n",
    "size": "512MiB", "size_long": "9e18", "size_fraction": "1.5T", "duration": "250ms", "duration_long": "99999999d",
    "duration_overflow": "99999999999999d", "timeout_overflow": "io-timeout = 106751991167d\n",
    "mountinfo": "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - fuse.tciafs tcia: rw,user_id=1000\n",
}


MESSAGES = {
    "status": "status",
    "paths": "refresh path=/C/P%20one path=/ path=",
    "server": "server name=127.0.0.1:1 state=ok since_unix_ms=1764000000000",
    "failed": "failed code=no_space reason=a%25b%0ac",
    "cut": "refresh path=%2",
}


def main():
    for target, files in (("zip_stream", zips()), ("dicom_head", heads()), ("http_head", HEADS.items()),
                          ("names", NAMES.items()), ("catalog_records", catalog_records()),
                          ("cache_records", cache_records()), ("json_rows", JSON_BODIES.items()),
                          ("bulk_listing", JSON_BODIES.items()), ("series_zip", series_zips()),
                          ("nbia_source", nbia_sources()), ("zip_damage", DAMAGE.items()),
                          ("settings", SETTINGS.items()), ("import_scan", import_files()),
                          ("control_message", MESSAGES.items())):
        for name, content in files:
            made(target, name, content)
    for old in CORPUS.glob("*/*"):
        if not old.name.startswith("found-") and (old.parent.name, old.name) not in MADE:
            old.unlink()
    total = 0
    for (target, name), content in MADE.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        (CORPUS / target / name).write_bytes(content)
        total += len(content)
    print(f"{len(MADE)} files, {total} bytes")


if __name__ == "__main__":
    main()
