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


def main():
    for name, content in zips():
        made("zip_stream", name, content)
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
