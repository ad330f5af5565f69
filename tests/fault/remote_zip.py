# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
"""Rows of the fault matrix: what is wrong within the images' bodies."""

import dataclasses
import hashlib
import os
import re

import matrix
import zip_forge
from matrix import OK, Row, fault, images, singles, zips
from zip_forge import Entry, entries_of, forge, images_of

EIO = frozenset({"EIO"})
EITHER = OK | EIO
STALE = frozenset({"ESTALE"})
# On a busy machine the archive may need longer than the time-out to make a bomb.
SLOW = frozenset({"ETIMEDOUT"})
SENT = STALE | frozenset({"sent"})
BROKEN_SINGLES = singles("status", code=500)
TWO_SERIES = ("--synthetic", "C:patients=1,studies=1,series=2,images=4,size=32x32")
SWEEP = ("--synthetic", "C:patients=1,studies=1,series=52,images=2,size=16x16")
SWEEP_OPTIONS = ("--downloads", 12, "--connections", 24)


def forged(change, times=-1, then=BROKEN_SINGLES):
    """The zip of the first series after `change`, a function of its entries that gives bytes."""
    def plan(case):
        series = case.series_uids()[0]
        path = os.path.join(case.directory, "forged.zip")
        with open(path, "wb") as file:
            file.write(change(entries_of(case.zip_of(series))))
        return zips("status", times, file=path, match={"SeriesInstanceUID": series},
                    headers={"Content-Type": "application/octet-stream"}) + then
    return plan


def once_and_for_ever(name, action, failures, **parameters):
    """A damage that passes is healed; one that stays is healed by single images; without those it is
    an error for as many instances, and the others stay readable."""
    return [Row(f"{name}_once", zips(action, 1, **parameters)),
            Row(f"{name}_singles_heal", zips(action, **parameters)),
            Row(f"{name}_for_ever", zips(action, **parameters) + BROKEN_SINGLES, expect=EITHER,
                failures=failures)]


def changed(entries, number, data, **more):
    """Another content for one image."""
    wanted = images_of(entries)[number]
    return [Entry(entry.name, data, **more) if entry is wanted else entry for entry in entries]


def altered(data):
    """A pixel changed: another file of the same size and SOPInstanceUID."""
    return data[:-1] + bytes((data[-1] ^ 0x55,))


def other_uid(data, number):
    """The same image under a UID of its own."""
    uids = re.findall(rb"1\.2\.826\.0\.1\.3680043\.10\.1338\.[0-9.]*\.(10000[0-9])\0?", data)
    return data.replace(uids[-1], b"%06d" % (200000 + number))


def plus_images(entries, count):
    data = images_of(entries)[0].data
    return entries + [Entry(b"x%07d.dcm" % number, other_uid(data, number)) for number in range(count)]


def without_sums(entries):
    return [entry for entry in entries if entry.name != b"md5hashes.csv"]


def with_sums(entries, sums):
    return without_sums(entries) + [Entry(b"md5hashes.csv", sums)]


def lies(entries):
    lie = hashlib.md5(b"a lie").hexdigest().encode()
    return b"".join(entry.name + b"," + lie + b"\n" for entry in images_of(entries))


def doubled(entries, first, second):
    """The first image twice, changed by two functions."""
    image = images_of(entries)[0]
    at = entries.index(image)
    return (entries[:at] + [Entry(image.name, first(image.data))] + entries[at + 1:-1] +
            [Entry(b"99999999.dcm", second(image.data))] + entries[-1:])


def altered_second(entries):
    return forge(changed(entries, 1, altered(images_of(entries)[1].data)))


def altered_of(number):
    """What a reader may get of an image that was sent altered."""
    def sent(case):
        series = case.series_uids()[0]
        data = images_of(entries_of(case.zip_of(series)))[number].data
        digest = hashlib.md5(data).hexdigest()
        path = next(path for path, (md5, _) in case.paths.items() if md5 == digest)
        return {path: {(hashlib.md5(altered(data)).hexdigest(), len(data))}}
    return sent


first_altered = altered_of(0)
second_altered = altered_of(1)


def same(data):
    return data


def cut_everywhere(action, times):
    """Another cut in each series."""
    def plan(case):
        rows = list(BROKEN_SINGLES) if times < 0 else []
        series = case.series_uids()
        offsets = zip_forge.boundaries(case.zip_of(series[0]))
        whole = len(case.zip_of(series[0]))
        # Those of the first zip; the others are as long give or take some bytes.
        chosen = offsets if len(offsets) <= len(series) else [
            offsets[i * len(offsets) // len(series)] for i in range(len(series))]
        assert len(chosen) >= 40, chosen
        for uid, offset in zip(series, chosen):
            rows += zips(action, times, n=min(offset, whole - 1), match={"SeriesInstanceUID": uid})
        return rows
    return plan


ROWS = [
    # Cuts.
    Row("cut_abort_once", cut_everywhere("abort_after_bytes", 1), archive=SWEEP, options=SWEEP_OPTIONS),
    Row("cut_clean_once", cut_everywhere("close_after_bytes", 1), archive=SWEEP, options=SWEEP_OPTIONS),
    Row("cut_abort_for_ever", cut_everywhere("abort_after_bytes", -1), archive=SWEEP,
        options=SWEEP_OPTIONS, expect=EITHER, deadline_s=120),
    Row("cut_clean_for_ever", cut_everywhere("close_after_bytes", -1), archive=SWEEP,
        options=SWEEP_OPTIONS, expect=EITHER, deadline_s=120),
    # What the archive itself can do wrong.
    *once_and_for_ever("corrupt", "corrupt", None, k=1),
    *once_and_for_ever("wrong_crc", "wrong_crc", None, k=1),
    # The sums come last: who was quick has read it, and its bytes are right.
    Row("wrong_md5_once", zips("wrong_md5", 1, k=1), expect=OK | STALE),
    Row("wrong_md5_for_ever", zips("wrong_md5", k=1) + BROKEN_SINGLES, expect=EITHER | STALE),
    *once_and_for_ever("short", "drop_entries", 2, k=[1, 3]),
    *once_and_for_ever("not_dicom", "not_dicom", 1, k=2),
    *once_and_for_ever("license_only", "license_only", 4),
    *once_and_for_ever("empty_zip", "empty_zip", 4),
    *[dataclasses.replace(row, expect=EITHER | SLOW)
      for row in once_and_for_ever("bomb", "bomb", None, k=1, n=80 << 20)],
    Row("bomb_of_a_gib", zips("bomb", k=0, n=1 << 30) + BROKEN_SINGLES, memory_max_mib=400,
        expect=EITHER | SLOW),
    Row("no_md5", zips("no_md5")),
    Row("duplicate", zips("duplicate_entry", k=1)),
    Row("evil_names", zips("evil_names")),
    Row("foreign", zips("foreign_instance"), archive=TWO_SERIES),
    Row("last_cut_short_once", zips("short_entry", 1, k=3, n=2000) + zips("no_md5", 1)),
    Row("last_cut_short_singles_heal", zips("short_entry", k=3, n=2000) + zips("no_md5")),
    Row("last_cut_short_for_ever", zips("short_entry", k=3, n=2000) + zips("no_md5") + BROKEN_SINGLES,
        expect=EITHER, failures=1),
    Row("all_not_dicom", images("not_dicom", k=[0, 1, 2, 3]), expect=EIO, failures=4),
    Row("single_corrupt", zips("drop_entries", k=1) + singles("corrupt"), expect=EITHER, failures=1),
    Row("single_foreign", zips("drop_entries", k=1) + singles("foreign_instance"), archive=TWO_SERIES,
        expect=EITHER, failures=2),
    Row("single_cut", zips("drop_entries", k=1) + singles("close_after_bytes", n=1000), expect=EITHER,
        failures=1),
    *[Row(f"single_cut_sum_{name}", zips("drop_entries", k=1) + singles("close_after_bytes", n=3000) +
          [fault("*HashForImage", *answer, **more)], expect=EITHER, failures=1)
      for name, answer, more in (("untold", ("empty",), {}), ("broken", ("status",), {"code": 500}),
                                 ("down", ("status",), {"code": 503}))],
    Row("single_aborted", zips("drop_entries", k=1) + singles("abort_after_bytes", n=1000),
        expect=EITHER, failures=1),
    Row("single_empty", zips("drop_entries", k=1) + singles("empty"), expect=EITHER, failures=1),
    Row("single_html", zips("drop_entries", k=1) + singles("html"), expect=EITHER, failures=1),
    Row("single_without_end", zips("drop_entries", k=1) +
        singles("status", fill="x", n=1 << 40), expect=EITHER, failures=1, memory_max_mib=400),
    # Forgeries.
    Row("altered_under_its_sum_once", forged(altered_second, times=1, then=[]), expect=OK | SENT,
        sent=second_altered),
    Row("altered_under_its_sum_singles_heal", forged(altered_second, then=[]), expect=OK | SENT,
        sent=second_altered),
    Row("altered_under_its_sum_for_ever", forged(altered_second), expect=EITHER | SENT,
        sent=second_altered),
    Row("twice_alike", forged(lambda e: forge(doubled(e, same, same)))),
    Row("twice_first_altered", forged(lambda e: forge(doubled(e, altered, same)), then=[]),
        expect=OK | SENT, sent=first_altered),
    Row("twice_second_altered", forged(lambda e: forge(doubled(e, same, altered))), expect=OK | STALE),
    Row("twice_second_longer", forged(lambda e: forge(doubled(e, same, lambda d: d + b"\0\0"))),
        expect=OK | STALE),
    Row("twice_first_altered_no_sums", forged(lambda e: forge(
        without_sums(doubled(e, altered, same))), then=[]), expect=OK | SENT, sent=first_altered),
    Row("twice_and_no_singles", forged(lambda e: forge(without_sums(doubled(e, altered, same)))),
        expect=EITHER | SENT, sent=first_altered),
    Row("one_more_than_announced", forged(lambda e: forge(plus_images(e, 1)))),
    Row("many_more_than_announced", forged(lambda e: forge(plus_images(e, 900)))),
    Row("far_too_many", forged(lambda e: forge(plus_images(e, 1200))), expect=EITHER),
    Row("empty_entries", forged(lambda e: forge([Entry(b"%d" % i, b"") for i in range(3000)] + e))),
    Row("too_many_empty_entries",
        forged(lambda e: forge([Entry(b"%d" % i, b"") for i in range(12000)] + e)), expect=EITHER),
    Row("stored_with_descriptor",
        forged(lambda e: forge([Entry(x.name, x.data, method=0) for x in e])), expect=EITHER),
    Row("stored_with_sizes",
        forged(lambda e: forge([Entry(x.name, x.data, method=0, flags=0) for x in e]))),
    Row("unknown_method", forged(lambda e: forge([Entry(x.name, x.data, method=99) for x in e])),
        expect=EIO),
    Row("encrypted", forged(lambda e: forge([Entry(x.name, x.data, flags=9) for x in e])), expect=EIO),
    Row("wrong_size_behind", forged(lambda e: forge([Entry(x.name, x.data, size=7) for x in e])),
        expect=EIO),
    Row("zero_size_entries", forged(lambda e: forge([Entry(x.name, b"") for x in e])), expect=EIO),
    Row("extra_field_of_64k",
        forged(lambda e: forge([Entry(x.name, x.data, extra=b"\0" * 65535) for x in e])), expect=EITHER),
    Row("names_no_utf8", forged(lambda e: forge([Entry(b"\xff\xfe" + x.name, x.data) for x in e])),
        expect=EITHER),
    Row("names_with_nul", forged(lambda e: forge([Entry(b"\0" + x.name, x.data) for x in e])),
        expect=EITHER),
    Row("names_all_the_same",
        forged(lambda e: forge([Entry(b"a.dcm", x.data) for x in images_of(e)]))),
    Row("names_empty", forged(lambda e: forge([Entry(b"", x.data) for x in images_of(e)])),
        expect=EITHER),
    Row("absolute_names", forged(lambda e: forge([Entry(b"/etc/" + x.name, x.data)
                                                  for x in images_of(e)]))),
    Row("climbing_names", forged(lambda e: forge([Entry(b"../../" + x.name, x.data)
                                                  for x in images_of(e)]))),
    Row("no_directory", forged(lambda e: forge(e, tail=False)), expect=EITHER),
    Row("directory_of_fewer", forged(lambda e: forge(
        [Entry(x.name, x.data, in_directory=i != 2) for i, x in enumerate(e)])), expect=EITHER),
    Row("directory_of_more", forged(lambda e: forge(e, count=77)), expect=EITHER),
    Row("comment", forged(lambda e: forge(e, comment=b"x" * 60000))),
    Row("garbage_behind", forged(lambda e: forge(e) + b"x" * 100), expect=EITHER),
    Row("garbage_before", forged(lambda e: b"x" * 100 + forge(e)), expect=EIO),
    Row("two_zips", forged(lambda e: forge(e) * 2), expect=EITHER),
    Row("zip_in_a_zip", forged(lambda e: forge([Entry(b"all.zip", forge(e))])), expect=EIO),
    Row("sums_garbage", forged(lambda e: forge(with_sums(e, b"\0\xff,,,\n" * 999)))),
    Row("sums_empty", forged(lambda e: forge(with_sums(e, b"")))),
    Row("sums_of_strangers", forged(lambda e: forge(with_sums(e, b"Filename,MD5Hash\nx.dcm," + b"0" * 32)))),
    Row("sums_all_wrong", forged(lambda e: forge(with_sums(e, lies(e)))), expect=EITHER | STALE),
    Row("sums_first_and_wrong", forged(lambda e: forge(with_sums([], lies(e)) + without_sums(e))),
        expect=EIO, failures=4),
    Row("sums_twice_second_wrong", forged(lambda e: forge(e + with_sums([], lies(e)))), expect=EITHER),
    Row("sums_of_70_mib", forged(lambda e: forge(with_sums(e, b"x.dcm,nonsense\n" * 4_900_000))),
        expect=EITHER, memory_max_mib=500),
]
