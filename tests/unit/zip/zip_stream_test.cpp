// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/zip/zip_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "support/zip_writer.h"
#include "unit/zip/recording_handler.h"
#include "zip/inflater.h"

namespace tciafs::zip {
namespace {

using testing::Crc32Of;
using testing::Deflate;
using ::testing::HasSubstr;
using testing::RecordedEntry;
using testing::RecordingHandler;
using testing::ZipEndOptions;
using testing::ZipEntryOptions;
using testing::ZipWriter;

// How many of the bytes at `offset` to push next.
using Cut = std::function<size_t(size_t offset)>;

size_t Whole(size_t) { return SIZE_MAX; }
size_t ByteByByte(size_t) { return 1; }
Cut AtRandom(uint32_t seed) {
  return [random = std::mt19937(seed)](size_t) mutable {
    return size_t{1} + random() % (random() % 4 == 0 ? 5000 : 40);
  };
}

struct Outcome {
  std::vector<RecordedEntry> entries;
  Status status;
};

Outcome Parse(std::string_view zip, const Cut& cut = Whole, const ZipLimits& limits = {},
              InflaterKind kind = InflaterKind::kFastest) {
  RecordingHandler handler;
  ZipStream stream(handler, limits, MakeInflater(kind));
  Status status;
  for (size_t offset = 0; status && offset < zip.size();) {
    const size_t count = std::min(cut(offset), zip.size() - offset);
    status = stream.Push(AsBytes(zip.substr(offset, count)));
    offset += count;
  }
  if (status) status = stream.Finish();
  EXPECT_EQ(stream.entries(), handler.entries.size());
  EXPECT_LE(handler.piece_bytes_max, 256u * 1024);
  return {std::move(handler.entries), std::move(status)};
}

std::string ErrorOf(const Outcome& outcome) {
  if (outcome.status) return "";
  EXPECT_EQ(outcome.status.error().code, Errc::kCorrupt) << outcome.status.error().message;
  return outcome.status.error().message;
}

RecordedEntry Entry(const std::string& name, const std::string& content) {
  return {name, content, Crc32Of(content)};
}

// Compresses like image data: some noise, some repetition.
std::string Content(size_t size_bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string content(size_bytes, '\0');
  for (size_t i = 0; i < size_bytes; ++i)
    content[i] = static_cast<char>(i > 300 && random() % 8 != 0 ? content[i - 257] : random() % 64);
  return content;
}

struct Sample {
  std::string what;
  std::string zip;
  std::vector<RecordedEntry> entries;
};

// Every layout that has to be understood; each with a second entry, which a wrong end of the first
// would spoil.
std::vector<Sample> Samples() {
  std::vector<Sample> samples;
  const std::string licence = "Creative Commons Attribution 3.0 Unported License\n";
  const std::string image = Content(400, 1);
  const auto add = [&](const std::string& what, const std::string& first,
                       const ZipEntryOptions& options, const ZipEndOptions& end = {}) {
    ZipWriter writer;
    writer.Add("1-1.dcm", first, options).Add("LICENSE", licence);
    samples.push_back(
        {what, writer.Finish(end), {Entry("1-1.dcm", first), Entry("LICENSE", licence)}});
  };
  ZipEntryOptions options;
  add("java", image, options);
  add("comment", image, options, {.comment = "the comment PK\5\6 of this zip"});
  add("zip64 end", image, options, {.zip64 = true});
  add("empty entry", "", options);
  options.compressed = Deflate(image, 0);
  add("stored blocks", image, options);
  options.compressed.reset();
  for (const bool has_signature : {false, true}) {
    for (const bool is_wide : {false, true}) {
      options.has_descriptor_signature = has_signature;
      options.is_descriptor_wide = is_wide;
      options.has_zip64_field = is_wide;
      const std::string layout = has_signature ? " signature, " : " no signature, ";
      add("descriptor with" + layout + (is_wide ? "64 bit" : "32 bit"), image, options);
      add("empty, descriptor with" + layout + (is_wide ? "64 bit" : "32 bit"), "", options);
    }
  }
  options = {};
  options.extra = std::string("\x0a\x00\x04\x00\x01\x02\x03\x04", 8) + "pad";
  add("extra fields", image, options);
  options.has_descriptor = false;
  add("deflated, sizes in the header", image, options);
  options.extra.resize(8);  // without what is no field
  options.has_zip64_field = true;
  add("deflated, sizes in the zip64 field", image, options);
  options = {.stored = true, .has_descriptor = false};
  add("stored", image, options);
  add("stored, empty", "", options);
  options.has_zip64_field = true;
  add("stored, zip64 field", image, options);
  options = {.stored = true, .are_sizes_in_header = true};
  add("stored, sizes twice", image, options);
  samples.push_back({"no entries", ZipWriter().Finish(), {}});
  return samples;
}

TEST(ZipStream, ReadsEveryLayoutHoweverItIsCut) {
  for (const Sample& sample : Samples()) {
    for (const InflaterKind kind : {InflaterKind::kFastest, InflaterKind::kZlib}) {
      SCOPED_TRACE(sample.what);
      const auto expect_entries = [&](const Cut& cut) {
        const Outcome outcome = Parse(sample.zip, cut, {}, kind);
        EXPECT_EQ(ErrorOf(outcome), "");
        EXPECT_EQ(outcome.entries, sample.entries);
      };
      expect_entries(Whole);
      expect_entries(ByteByByte);
      for (uint32_t seed = 0; seed < 20; ++seed) expect_entries(AtRandom(seed));
    }
  }
}

TEST(ZipStream, ReadsLargeEntriesAndManyOfThem) {
  ZipWriter writer;
  std::vector<RecordedEntry> expected;
  const auto add = [&](const std::string& name, const std::string& content,
                       const ZipEntryOptions& options) {
    writer.Add(name, content, options);
    expected.push_back(Entry(name, content));
  };
  // Around the sizes of windows and output pieces.
  for (const size_t size_bytes : {32768, 65536, 65537, 262143, 262144, 262145, 700'000})
    add(std::to_string(size_bytes), Content(size_bytes, size_bytes), {});
  add("zeros", std::string(3'000'000, '\0'), {});
  add("stored", Content(600'000, 9), {.stored = true, .has_descriptor = false});
  for (int i = 0; i < 70'000; ++i) expected.push_back(Entry("tiny", "x")), writer.Add("tiny", "x");
  const std::string wraps = writer.Finish();  // number of entries modulo 65536
  const auto expect_entries = [&](const Cut& cut, InflaterKind kind) {
    const Outcome outcome = Parse(wraps, cut, {}, kind);
    EXPECT_EQ(ErrorOf(outcome), "");
    EXPECT_TRUE(outcome.entries == expected);
  };
  expect_entries(Whole, InflaterKind::kFastest);
  expect_entries(AtRandom(7), InflaterKind::kFastest);
  expect_entries(AtRandom(8), InflaterKind::kZlib);
  EXPECT_TRUE(Parse(writer.Finish({.zip64 = true})).status.has_value());
}

// An instance must be readable as soon as it has arrived, not when the next one begins.
TEST(ZipStream, EndsAnEntryWithTheLastByteOfItsDescriptor) {
  ZipWriter writer;
  writer.Add("1-1.dcm", Content(1000, 3));
  RecordingHandler handler;
  ZipStream stream(handler, {});
  const std::string_view bytes = writer.bytes();
  ASSERT_TRUE(stream.Push(AsBytes(bytes.substr(0, bytes.size() - 1))));
  EXPECT_EQ(handler.entries.size(), 0u);
  ASSERT_TRUE(stream.Push(AsBytes(bytes.substr(bytes.size() - 1))));
  EXPECT_EQ(handler.entries.size(), 1u);
  EXPECT_FALSE(stream.Finish().has_value());
}

// The content whose CRC-32 is `wanted`: any beginning and four bytes that settle it.
std::string ContentWithCrc(const std::string& beginning, uint32_t wanted) {
  uint32_t state = ~wanted;
  for (int bit = 0; bit < 32; ++bit)
    state = (state & 0x80000000) != 0 ? (state ^ 0xedb88320) << 1 | 1 : state << 1;
  state ^= ~Crc32Of(beginning);
  std::string content = beginning;
  ZipWriter::Put(content, 4, state);
  return content;
}

TEST(ZipStream, IsNotMisledByACrcThatLooksLikeASignature) {
  for (const uint32_t crc : {0x08074b50u, 0x04034b50u, 0x02014b50u}) {
    const std::string content = ContentWithCrc("some content", crc);
    ASSERT_EQ(Crc32Of(content), crc);
    for (const bool has_signature : {false, true}) {
      for (const bool is_wide : {false, true}) {
        ZipWriter writer;
        ZipEntryOptions options;
        options.has_descriptor_signature = has_signature;
        options.is_descriptor_wide = is_wide;
        writer.Add("a", content, options).Add("b", content, options);
        for (const Cut& cut : {Cut(Whole), Cut(ByteByByte)}) {
          const Outcome outcome = Parse(writer.Finish(), cut);
          EXPECT_EQ(ErrorOf(outcome), "");
          EXPECT_EQ(outcome.entries.size(), 2u);
        }
      }
    }
  }
}

TEST(ZipStream, PassesDirectoriesAsEmptyEntries) {
  for (const bool has_descriptor : {false, true}) {
    ZipWriter writer;
    writer.Add("images/", "", {.stored = true, .has_descriptor = has_descriptor});
    writer.Add("images/1-1.dcm", "x");
    const Outcome outcome = Parse(writer.Finish());
    EXPECT_EQ(ErrorOf(outcome), "");
    EXPECT_EQ(outcome.entries, (std::vector{Entry("images/", ""), Entry("images/1-1.dcm", "x")}));
  }
}

TEST(ZipStream, PassesNamesRaw) {
  const std::string name("../\xff\xfe\0/etc", 9);
  EXPECT_EQ(Parse(ZipWriter().Add(name, "x").Finish()).entries, std::vector{Entry(name, "x")});
  EXPECT_EQ(Parse(ZipWriter().Add("", "x").Finish()).entries, std::vector{Entry("", "x")});
}

TEST(ZipStream, RefusesWhatTheArchiveContradicts) {
  struct Case {
    std::string what;
    ZipEntryOptions options;
  };
  std::vector<Case> cases;
  for (const bool has_descriptor : {false, true}) {
    for (const bool stored : {false, true}) {
      const ZipEntryOptions base = {
          .stored = stored, .has_descriptor = has_descriptor, .are_sizes_in_header = stored};
      Case damaged = {"crc", base};
      damaged.options.crc_xor = 1;
      cases.push_back(damaged);
      for (const int delta : {-1, 1}) {
        damaged = {"size", base};
        damaged.options.size_delta = delta;
        cases.push_back(damaged);
        damaged = {"compressed size", base};
        damaged.options.compressed_delta = delta;
        cases.push_back(damaged);
      }
    }
  }
  for (const Case& damaged : cases) {
    ZipWriter writer;
    writer.Add("good", "content").Add("bad", Content(2000, 4), damaged.options).Add("next", "x");
    for (const InflaterKind kind : {InflaterKind::kFastest, InflaterKind::kZlib}) {
      for (const Cut& cut : {Cut(Whole), Cut(ByteByByte)}) {
        const Outcome outcome = Parse(writer.Finish(), cut, {}, kind);
        EXPECT_THAT(ErrorOf(outcome), HasSubstr("entry 2 'bad'")) << damaged.what;
        EXPECT_EQ(outcome.entries.size(), 1u) << damaged.what;
      }
    }
  }
}

TEST(ZipStream, SaysWhatItCannotRead) {
  const auto error_of = [](const ZipEntryOptions& options) {
    return ErrorOf(Parse(ZipWriter().Add("n", "content", options).Finish()));
  };
  EXPECT_THAT(error_of({.more_flags = 1}), HasSubstr("encrypted"));
  EXPECT_THAT(error_of({.more_flags = 1 << 13}), HasSubstr("encrypted"));
  EXPECT_THAT(error_of({.method = uint16_t{12}}), HasSubstr("method 12"));
  EXPECT_THAT(error_of({.stored = true}), HasSubstr("no size"));
  EXPECT_THAT(ErrorOf(Parse("<html><body>Service unavailable</body></html>")),
              HasSubstr("not a zip"));
  EXPECT_THAT(ErrorOf(Parse("")), HasSubstr("no end record"));
}

TEST(ZipStream, RefusesEndRecordsThatDoNotAddUp) {
  ZipWriter writer;
  writer.Add("a", "x").Add("b", "y");
  for (const bool zip64 : {false, true}) {
    for (const int delta : {-1, 1}) {
      EXPECT_NE(ErrorOf(Parse(writer.Finish({.zip64 = zip64, .entries_delta = delta}))), "");
      EXPECT_NE(ErrorOf(Parse(writer.Finish({.zip64 = zip64, .offset_delta = delta}))), "");
      EXPECT_NE(ErrorOf(Parse(writer.Finish({.zip64 = zip64, .directory_delta = delta}))), "");
    }
  }
  const std::string whole = writer.Finish();
  EXPECT_THAT(ErrorOf(Parse(whole + "x")), HasSubstr("goes on"));
  EXPECT_THAT(ErrorOf(Parse(whole + whole)), HasSubstr("goes on"));
  // An entry after the directory, a directory after the end of one, entries lost in between.
  const std::string directory = whole.substr(writer.bytes().size());
  EXPECT_THAT(ErrorOf(Parse(directory)), HasSubstr("directory lists more"));
  EXPECT_THAT(ErrorOf(Parse(whole.substr(0, whole.size() - 22) + whole)), HasSubstr("misplaced"));
  EXPECT_NE(ErrorOf(Parse(writer.bytes() + writer.bytes() + directory)), "");
}

TEST(ZipStream, KeepsItsLimits) {
  const std::string zip = ZipWriter().Add("ab", "12345").Add("cd", "67890").Finish();
  EXPECT_EQ(ErrorOf(Parse(zip, Whole, {2, 5, 10, 2})), "");
  EXPECT_THAT(ErrorOf(Parse(zip, Whole, {1, 5, 10, 2})), HasSubstr("more than 1 entries"));
  EXPECT_THAT(ErrorOf(Parse(zip, Whole, {2, 4, 10, 2})), HasSubstr("larger than 4"));
  EXPECT_THAT(ErrorOf(Parse(zip, Whole, {2, 5, 9, 2})), HasSubstr("beyond 9"));
  EXPECT_THAT(ErrorOf(Parse(zip, Whole, {2, 5, 10, 1})), HasSubstr("name of 2 bytes"));
  // Where the header tells, nothing of the entry is passed on.
  const std::string told =
      ZipWriter().Add("ab", "12345", {.stored = true, .has_descriptor = false}).Finish();
  RecordingHandler handler;
  ZipStream stream(handler, {2, 4, 10, 2});
  EXPECT_FALSE(stream.Push(AsBytes(told)));
  EXPECT_EQ(handler.received_bytes, 0u);
}

TEST(ZipStream, RecordsNobodyWritesEndAtTheirLimits) {
  ZipWriter writer;
  writer.Add("a", "12345");
  const size_t directory_at = writer.bytes().size();
  const auto little_endian = [](uint64_t value, int width_bytes) {
    std::string bytes;
    for (int i = 0; i < width_bytes; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
    return bytes;
  };
  const auto with_archive_extra = [&](size_t size_bytes) {
    const std::string record =
        "PK\x06\x08" + little_endian(size_bytes, 4) + std::string(size_bytes, 'e');
    return writer.Finish({.offset_delta = static_cast<int64_t>(record.size())})
        .insert(directory_at, record);
  };
  EXPECT_EQ(ErrorOf(Parse(with_archive_extra(kArchiveExtraBytesMax))), "");
  EXPECT_THAT(ErrorOf(Parse(with_archive_extra(kArchiveExtraBytesMax + 1))),
              HasSubstr("archive extra data record is too long"));
  const auto with_zip64_data = [&](size_t size_bytes) {
    std::string zip = writer.Finish({.zip64 = true});
    const size_t record = zip.find("PK\x06\x06");
    constexpr size_t kRecordBytes = 56;
    zip.replace(record + 4, 8, little_endian(kRecordBytes - 12 + size_bytes, 8));
    return zip.insert(record + kRecordBytes, std::string(size_bytes, 'd'));
  };
  EXPECT_EQ(ErrorOf(Parse(with_zip64_data(kZip64EndVariableBytesMax))), "");
  EXPECT_THAT(ErrorOf(Parse(with_zip64_data(kZip64EndVariableBytesMax + 1))),
              HasSubstr("zip64 end record of a wrong length"));
}

TEST(ZipStream, StopsABombAtTheLimit) {
  const std::string bomb = ZipWriter().Add("bomb", std::string(10'000'000, '\0')).Finish();
  for (const InflaterKind kind : {InflaterKind::kFastest, InflaterKind::kZlib}) {
    RecordingHandler handler;
    ZipStream stream(handler, {.entry_bytes_max = 1'000'000}, MakeInflater(kind));
    EXPECT_EQ(stream.Push(AsBytes(bomb)).error().code, Errc::kCorrupt);
    EXPECT_LE(handler.received_bytes, 1'000'000u);
    EXPECT_TRUE(handler.entries.empty());
  }
}

TEST(ZipStream, StaysFailed) {
  const std::string zip = ZipWriter().Add("a", "x").Finish();
  for (const std::string step : {"begin", "data", "end"}) {
    RecordingHandler handler;
    handler.fails_at = step;
    ZipStream stream(handler, {});
    EXPECT_EQ(stream.Push(AsBytes(zip)).error().message, step);
    EXPECT_EQ(stream.Push(AsBytes(zip)).error().code, Errc::kNoSpace);
    EXPECT_EQ(stream.Finish().error().code, Errc::kNoSpace);
  }
  RecordingHandler handler;
  ZipStream unfinished(handler, {});
  EXPECT_TRUE(unfinished.Push(AsBytes(zip.substr(0, 40))));
  EXPECT_FALSE(unfinished.Finish());
  EXPECT_FALSE(unfinished.Push(AsBytes(zip.substr(40))));
}

TEST(ZipStream, NeverTakesATruncatedZipForWhole) {
  for (const Sample& sample : Samples()) {
    for (size_t size_bytes = 0; size_bytes < sample.zip.size(); ++size_bytes) {
      const Outcome outcome = Parse(std::string_view(sample.zip).substr(0, size_bytes));
      ASSERT_NE(ErrorOf(outcome), "") << sample.what << " cut at " << size_bytes;
      ASSERT_LE(outcome.entries.size(), sample.entries.size());
      for (size_t i = 0; i < outcome.entries.size(); ++i)
        ASSERT_EQ(outcome.entries[i], sample.entries[i]) << sample.what;
    }
  }
}

// Whatever one byte becomes: an error, or the same content (a name is not covered by any checksum).
// What had ended before an error is right in any case.
TEST(ZipStream, NeverPassesDamagedContent) {
  for (const Sample& sample : Samples()) {
    std::string zip = sample.zip;
    for (size_t offset = 0; offset < zip.size(); ++offset) {
      for (const int flip : {0x01, 0x08, 0xff}) {
        zip[offset] = static_cast<char>(zip[offset] ^ flip);
        for (const InflaterKind kind : {InflaterKind::kFastest, InflaterKind::kZlib}) {
          const Outcome outcome = Parse(zip, Whole, {}, kind);
          if (outcome.status) {
            ASSERT_EQ(outcome.entries.size(), sample.entries.size());
          }
          ASSERT_LE(outcome.entries.size(), sample.entries.size());
          for (size_t i = 0; i < outcome.entries.size(); ++i)
            ASSERT_EQ(outcome.entries[i].content, sample.entries[i].content)
                << sample.what << " at " << offset;
        }
        zip[offset] = static_cast<char>(zip[offset] ^ flip);
      }
    }
  }
}

}  // namespace
}  // namespace tciafs::zip
