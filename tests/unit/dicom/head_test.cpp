// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/dicom/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

namespace tciafs::dicom {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kUndefined = 0xffffffff;
const std::string kImplicit = "1.2.840.10008.1.2";
const std::string kExplicit = "1.2.840.10008.1.2.1";
const std::string kBig = "1.2.840.10008.1.2.2";
const std::string kDeflated = "1.2.840.10008.1.2.1.99";
const std::string kUid = "1.3.6.1.4.1.14519.5.2.1.7009.9004.1";
const std::string kOtherUid = "1.2.3.4";

// Writes data elements in any encoding.
class DataSet {
 public:
  explicit DataSet(bool explicit_vr = true, bool big_endian = false)
      : explicit_vr_(explicit_vr), big_endian_(big_endian) {}

  DataSet& Header(uint16_t group, uint16_t element, const std::string& vr, uint32_t length) {
    Put(2, group).Put(2, element);
    if (!explicit_vr_ || vr.empty()) return Put(4, length);
    bytes_ += vr;
    static const std::string long_vrs = "OB OD OF OL OV OW SQ SV UC UN UR UT UV";
    if (long_vrs.find(vr) == std::string::npos) return Put(2, length);
    return Put(2, 0).Put(4, length);
  }
  DataSet& Add(uint16_t group, uint16_t element, const std::string& vr, const std::string& value) {
    Header(group, element, vr, static_cast<uint32_t>(value.size()));
    bytes_ += value;
    return *this;
  }
  DataSet& Uid(uint16_t group, uint16_t element, std::string uid) {
    if (uid.size() % 2 == 1) uid += '\0';
    return Add(group, element, "UI", uid);
  }
  DataSet& Item(uint32_t length) { return Header(0xfffe, 0xe000, "", length); }
  DataSet& ItemEnd() { return Header(0xfffe, 0xe00d, "", 0); }
  DataSet& SequenceEnd() { return Header(0xfffe, 0xe0dd, "", 0); }
  DataSet& Raw(const std::string& bytes) {
    bytes_ += bytes;
    return *this;
  }
  // The usual beginning of group 0008, up to what is before the UID.
  DataSet& Beginning() {
    return Add(8, 5, "CS", "ISO_IR 100")
        .Add(8, 8, "CS", "ORIGINAL\\PRIMARY")
        .Uid(8, 0x16, "1.2.840");
  }
  const std::string& bytes() const { return bytes_; }

 private:
  DataSet& Put(int width_bytes, uint32_t value) {
    for (int i = 0; i < width_bytes; ++i) {
      const int shift = 8 * (big_endian_ ? width_bytes - 1 - i : i);
      bytes_ += static_cast<char>(value >> shift & 0xff);
    }
    return *this;
  }

  const bool explicit_vr_;
  const bool big_endian_;
  std::string bytes_;
};

std::string Preamble() { return std::string(128, '\0') + "DICM"; }

// File meta without a UID, so that the data set has to answer.
std::string Meta(const std::string& transfer_syntax) {
  DataSet meta;
  meta.Add(2, 0, "UL", std::string(4, '\x7f'));  // a group length far off
  meta.Add(2, 1, "OB", std::string("\0\1", 2)).Uid(2, 2, "1.2.840.10008.5.1.4.1.1.2");
  meta.Uid(2, 0x10, transfer_syntax).Uid(2, 0x12, "1.2.3");
  return meta.bytes();
}

std::string UidOf(const std::string& file, bool complete = true) {
  const auto uid = FindSopInstanceUid(AsBytes(file), complete);
  if (!uid) return std::string(ErrcName(uid.error().code)) + ": " + uid.error().message;
  return uid->value_or("(more)");
}

// Every shorter head says that it is too short, or already gives the very answer.
void ExpectUidHoweverShort(const std::string& file, const std::string& expected) {
  EXPECT_EQ(UidOf(file), expected);
  bool found = false;
  for (size_t size_bytes = 0; size_bytes <= file.size(); ++size_bytes) {
    const std::string got = UidOf(file.substr(0, size_bytes), false);
    ASSERT_EQ(got, found || got != "(more)" ? expected : "(more)") << size_bytes;
    found = found || got == expected;
    const std::string final = UidOf(file.substr(0, size_bytes), true);
    if (final != expected) {
      ASSERT_THAT(final, HasSubstr("corrupt")) << size_bytes;
    }
  }
  EXPECT_TRUE(found);
}

struct Syntax {
  std::string uid;
  bool explicit_vr;
  bool big_endian;
};
const std::vector<Syntax> kSyntaxes = {{kImplicit, false, false},
                                       {kExplicit, true, false},
                                       {kBig, true, true},
                                       {"1.2.840.10008.1.2.4.70", true, false}};

std::string MetaWithUid(const std::string& transfer_syntax, const std::string& uid) {
  DataSet meta;
  meta.Add(2, 0, "UL", std::string("\x0a\0\0\0", 4)).Add(2, 1, "OB", std::string("\0\1", 2));
  meta.Uid(2, 2, "1.2.840.10008.5.1.4.1.1.2").Uid(2, 3, uid).Uid(2, 0x10, transfer_syntax);
  return meta.bytes();
}

TEST(FindSopInstanceUid, TheDataSetGoesBeforeTheFileMeta) {
  for (const std::string& syntax : {kImplicit, kExplicit, kBig}) {
    const std::string file = Preamble() + MetaWithUid(syntax, kOtherUid) +
                             DataSet().Beginning().Uid(8, 0x18, kUid).bytes();
    EXPECT_EQ(UidOf(file), kUid);
    EXPECT_EQ(UidOf(file.substr(0, file.size() - 4), false), "(more)");
  }
}

TEST(FindSopInstanceUid, TheFileMetaServesWhereTheDataSetDoesNotTell) {
  const DataSet none = DataSet().Beginning().Add(0x10, 0x10, "PN", "Doe^Jane");
  const DataSet unusable = DataSet().Beginning().Add(8, 0x18, "UI", "a/b ");
  for (const std::string& data :
       {std::string(), none.bytes(), unusable.bytes(), std::string(60, '\xff')})
    EXPECT_EQ(UidOf(Preamble() + MetaWithUid(kExplicit, kUid) + data), kUid);
  EXPECT_EQ(UidOf(Preamble() + MetaWithUid(kDeflated, kUid) + std::string(500, 'z'), false), kUid);
}

TEST(FindSopInstanceUid, TakesItFromTheDataSetInEverySyntax) {
  for (const Syntax& syntax : kSyntaxes) {
    const DataSet data =
        DataSet(syntax.explicit_vr, syntax.big_endian).Beginning().Uid(8, 0x18, kUid);
    SCOPED_TRACE(syntax.uid);
    ExpectUidHoweverShort(Preamble() + Meta(syntax.uid) + data.bytes(), kUid);
    // Without preamble, without meta, and with a transfer syntax that is not true.
    EXPECT_EQ(UidOf(Meta(syntax.uid) + data.bytes()), kUid);
    EXPECT_EQ(UidOf(data.bytes()), kUid);
    EXPECT_EQ(UidOf(Preamble() + data.bytes()), kUid);
    EXPECT_EQ(UidOf(Preamble() + Meta(kExplicit) + data.bytes()), kUid);
    EXPECT_EQ(UidOf(Preamble() + Meta(kImplicit) + data.bytes()), kUid);
  }
}

TEST(FindSopInstanceUid, StepsOverSequences) {
  for (const Syntax& syntax : kSyntaxes) {
    SCOPED_TRACE(syntax.uid);
    const auto data_set = [&] { return DataSet(syntax.explicit_vr, syntax.big_endian); };
    const std::string inner = data_set().Uid(8, 0x18, kOtherUid).bytes();  // not this one
    const auto inner_bytes = static_cast<uint32_t>(inner.size());
    std::vector<DataSet> sequences;
    sequences.push_back(
        data_set().Header(8, 6, "SQ", inner_bytes + 8).Item(inner_bytes).Raw(inner));
    sequences.push_back(data_set().Header(8, 6, "SQ", kUndefined).SequenceEnd());
    sequences.push_back(data_set()
                            .Header(8, 6, "SQ", kUndefined)
                            .Item(inner_bytes)
                            .Raw(inner)
                            .Item(kUndefined)
                            .Raw(inner)
                            .ItemEnd()
                            .SequenceEnd());
    DataSet nested = data_set();
    for (int depth = 0; depth < 20; ++depth) nested.Header(8, 6, "SQ", kUndefined).Item(kUndefined);
    nested.Raw(inner);
    for (int depth = 0; depth < 20; ++depth) nested.ItemEnd().SequenceEnd();
    sequences.push_back(nested);
    for (const DataSet& sequence : sequences) {
      const DataSet data =
          data_set().Add(8, 5, "CS", "ISO_IR 100").Raw(sequence.bytes()).Uid(8, 0x18, kUid);
      ExpectUidHoweverShort(Preamble() + Meta(syntax.uid) + data.bytes(), kUid);
    }
  }
}

TEST(FindSopInstanceUid, StepsOverEveryVr) {
  for (const bool big_endian : {false, true}) {
    DataSet data(true, big_endian);
    uint16_t element = 0x0001;
    for (const std::string vr : {"AE", "AT", "FD", "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV",
                                 "UC", "UN", "UR", "UT", "UV"})
      data.Add(8, element++, vr, vr == "SQ" ? "" : "some value");
    data.Uid(8, 0x18, kUid);
    EXPECT_EQ(UidOf(Preamble() + Meta(big_endian ? kBig : kExplicit) + data.bytes()), kUid);
  }
  // A UN of undefined length is a sequence in implicit little endian, whatever is around it.
  for (const bool big_endian : {false, true}) {
    const DataSet inside =
        DataSet(false).Item(kUndefined).Uid(8, 0x18, kOtherUid).ItemEnd().SequenceEnd();
    const DataSet data = DataSet(true, big_endian)
                             .Add(8, 5, "CS", "ISO_IR 100")
                             .Header(8, 6, "UN", kUndefined)
                             .Raw(inside.bytes())
                             .Uid(8, 0x18, kUid);
    EXPECT_EQ(UidOf(Preamble() + Meta(big_endian ? kBig : kExplicit) + data.bytes()), kUid);
  }
}

TEST(FindSopInstanceUid, BoundsTheDepthOfSequences) {
  DataSet data;
  data.Add(8, 5, "CS", "ISO_IR 100");
  for (int depth = 0; depth < 10'000; ++depth) data.Header(8, 6, "SQ", kUndefined).Item(kUndefined);
  EXPECT_THAT(UidOf(Preamble() + data.bytes(), false), HasSubstr("damaged"));

  const auto nested = [](int depth) {
    DataSet file;
    file.Add(8, 5, "CS", "ISO_IR 100");
    for (int i = 0; i < depth; ++i) file.Header(8, 6, "SQ", kUndefined).Item(kUndefined);
    for (int i = 0; i < depth; ++i) file.ItemEnd().SequenceEnd();
    return UidOf(Preamble() + file.Uid(8, 0x18, kUid).bytes());
  };
  EXPECT_EQ(nested(kDepthMax), kUid);
  EXPECT_THAT(nested(kDepthMax + 1), HasSubstr("damaged"));
}

TEST(FindSopInstanceUid, TakesWhatArchivesHold) {
  const auto uid_of = [](const std::string& value) {
    return UidOf(Preamble() + DataSet().Beginning().Add(8, 0x18, "UI", value).bytes());
  };
  EXPECT_EQ(uid_of(kUid + std::string(5, '\0')), kUid);
  EXPECT_EQ(uid_of(kUid + "   "), kUid);
  EXPECT_EQ(uid_of("1.2.abc-X"), "1.2.abc-X");
  const std::string longest(kUidCharsMax, '1');
  EXPECT_EQ(uid_of(longest), longest);
  EXPECT_THAT(uid_of(longest + std::string("1\0", 2)), HasSubstr("corrupt"));
  const std::string padded = kUid + std::string(kUidValueBytesMax - kUid.size(), ' ');
  EXPECT_EQ(uid_of(padded), kUid);
  EXPECT_THAT(uid_of(padded + "  "), HasSubstr("corrupt"));
  for (const std::string& bad :
       {std::string(), std::string("\0\0", 2), std::string("  "), std::string(66, '1'),
        std::string("1.2/3."), std::string("1.2\0.3", 6), std::string("1.2\n3."),
        std::string("1.2\xc3\xa9."), std::string(1000, '\0')})
    EXPECT_THAT(uid_of(bad), HasSubstr("corrupt")) << bad;
  // A file meta that holds no UID is as if it did not speak of one.
  for (const std::string& bad : {std::string(), std::string("a/b "), std::string(300, '1')}) {
    const DataSet meta = DataSet().Add(2, 3, "UI", bad).Uid(2, 0x10, kExplicit);
    const DataSet data = DataSet().Beginning().Uid(8, 0x18, kUid);
    EXPECT_EQ(UidOf(Preamble() + meta.bytes() + data.bytes()), kUid);
  }
}

TEST(FindSopInstanceUid, RefusesWhatIsNoDicom) {
  EXPECT_THAT(UidOf("Filename,MD5Hash\n"), HasSubstr("corrupt"));
  EXPECT_THAT(UidOf(std::string(200, 'x'), false), HasSubstr("corrupt"));
  EXPECT_THAT(UidOf(""), HasSubstr("corrupt"));
  EXPECT_EQ(UidOf("", false), "(more)");
  EXPECT_EQ(UidOf(std::string(100, 'x'), false), "(more)");
  EXPECT_THAT(UidOf(Preamble() + Meta(kDeflated) + std::string(500, 'z'), false),
              HasSubstr("deflated"));
  const DataSet none = DataSet().Beginning().Add(0x10, 0x10, "PN", "Doe^Jane");
  EXPECT_THAT(UidOf(Preamble() + Meta(kExplicit) + none.bytes(), false),
              HasSubstr("no SOPInstanceUID"));
}

TEST(FindSopInstanceUid, GivesUpBeyondTheLargestHead) {
  const auto file_with_gap = [](size_t gap_bytes) {
    const DataSet data = DataSet()
                             .Add(8, 5, "CS", "ISO_IR 100")
                             .Add(8, 6, "UN", std::string(gap_bytes, 'x'))
                             .Uid(8, 0x18, kUid);
    return Preamble() + data.bytes();
  };
  const std::string near = file_with_gap(kHeadBytesMax - 300);
  EXPECT_EQ(UidOf(near, false), kUid);
  EXPECT_EQ(UidOf(near.substr(0, 1000), false), "(more)");
  const size_t gap_max = kHeadBytesMax - file_with_gap(0).size();
  for (const bool complete : {false, true}) {
    EXPECT_EQ(UidOf(file_with_gap(gap_max), complete), kUid);
    EXPECT_THAT(UidOf(file_with_gap(gap_max + 2), complete), HasSubstr("corrupt"));
  }
  for (const bool complete : {false, true})
    EXPECT_THAT(UidOf(file_with_gap(kHeadBytesMax), complete), HasSubstr("corrupt"));
}

TEST(FindSopInstanceUid, SurvivesDamage) {
  std::mt19937 random(1);
  for (const Syntax& syntax : kSyntaxes) {
    const std::string file = Preamble() + Meta(syntax.uid) +
                             DataSet(syntax.explicit_vr, syntax.big_endian)
                                 .Beginning()
                                 .Header(8, 0x17, "SQ", kUndefined)
                                 .Item(kUndefined)
                                 .ItemEnd()
                                 .SequenceEnd()
                                 .Uid(8, 0x18, kUid)
                                 .bytes();
    for (int round = 0; round < 20'000; ++round) {
      std::string damaged = file;
      for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
      damaged.resize(random() % (damaged.size() + 1));
      const auto uid = FindSopInstanceUid(AsBytes(damaged), random() % 2 == 0);
      if (uid && *uid) {
        EXPECT_LE((*uid)->size(), 64u);
      }
      if (!uid) {
        EXPECT_EQ(uid.error().code, Errc::kCorrupt);
      }
    }
  }
}

// Real files, where TCIAFS_TEST_DATA names a directory that has some.
TEST(FindSopInstanceUid, ReadsRealFiles) {
  const char* directory = std::getenv("TCIAFS_TEST_DATA");
  if (directory == nullptr) GTEST_SKIP() << "TCIAFS_TEST_DATA is not set";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file() || entry.path().extension() != ".dcm") continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(stream), {}};
    const std::string uid = UidOf(file);
    size_t step_bytes = 1;
    for (size_t size_bytes = 0; size_bytes < std::min(file.size(), kHeadBytesMax);
         size_bytes += step_bytes) {
      if (size_bytes > 2000) step_bytes = 997;
      const std::string got = UidOf(file.substr(0, size_bytes), false);
      ASSERT_TRUE(got == "(more)" || got == uid) << entry.path() << " " << size_bytes << " " << got;
    }
  }
}

}  // namespace
}  // namespace tciafs::dicom
