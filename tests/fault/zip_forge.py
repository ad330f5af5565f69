# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Takes the zips of the archive apart and puts together what no archive should send.

A zip is written as java.util.zip does onto a stream: deflated, with a data descriptor behind each
entry (PKWARE APPNOTE 6.3).
"""

import dataclasses
import io
import struct
import typing
import zipfile
import zlib


@dataclasses.dataclass
class Entry:
    name: bytes
    data: bytes
    crc: typing.Optional[int] = None
    size: typing.Optional[int] = None        # as announced behind the data
    packed: typing.Optional[bytes] = None    # in place of the deflated data
    method: int = 8
    flags: int = 8
    extra: bytes = b""
    in_directory: bool = True


def entries_of(zip_bytes):
    with zipfile.ZipFile(io.BytesIO(zip_bytes)) as opened:
        return [Entry(info.filename.encode(), opened.read(info)) for info in opened.infolist()]


def images_of(entries):
    return [entry for entry in entries if entry.name.endswith(b".dcm")]


def deflated(data):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def forge(entries, tail=True, comment=b"", count=None):
    """The zip of these entries; without its tail there is no central directory."""
    out = b""
    directory = b""
    listed = 0
    for entry in entries:
        packed = entry.packed
        if packed is None:
            packed = deflated(entry.data) if entry.method == 8 else entry.data
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        described = entry.flags & 8
        sums = (crc, len(packed), size)
        fixed = struct.pack("<HHHHH", 20, entry.flags, entry.method, 0x6000, 0x5021)
        if entry.in_directory:
            listed += 1
            directory += (b"PK\1\2" + struct.pack("<H", 20) + fixed + struct.pack("<III", *sums) +
                          struct.pack("<HHHHHII", len(entry.name), 0, 0, 0, 0, 0, len(out)) +
                          entry.name)
        out += (b"PK\3\4" + fixed + struct.pack("<III", *((0, 0, 0) if described else sums)) +
                struct.pack("<HH", len(entry.name), len(entry.extra)) + entry.name + entry.extra +
                packed)
        if described:
            out += b"PK\7\x08" + struct.pack("<III", *sums)
    if not tail:
        return out
    number = listed if count is None else count
    return (out + directory + b"PK\5\6" +
            struct.pack("<HHHHIIH", 0, 0, number, number, len(directory), len(out), len(comment)) +
            comment)


def boundaries(zip_bytes):
    """Offsets at which a part of the zip begins or ends, and some in the middle of a part."""
    found = {0, 1, len(zip_bytes) - 1}
    with zipfile.ZipFile(io.BytesIO(zip_bytes)) as opened:
        for info in opened.infolist():
            begin = info.header_offset
            name_bytes, extra_bytes = struct.unpack_from("<HH", zip_bytes, begin + 26)
            data = begin + 30 + name_bytes + extra_bytes
            end = data + info.compress_size
            found |= {begin, begin + 2, begin + 4, begin + 29, data, data + 1,
                      data + info.compress_size // 2, end - 1, end, end + 4, end + 15, end + 16}
        directory = opened.start_dir
        for info in opened.infolist():
            found |= {directory, directory + 10}
            directory += 46 + len(info.filename)
        found |= {directory, directory + 4, directory + 21}
    return sorted(offset for offset in found if 0 <= offset < len(zip_bytes))
