// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/index_records.h"

#include <gtest/gtest.h>

#include "cache/journal.h"
#include "cache/layout.h"
#include "support/fakes.h"
#include "tciafs/cache/disk_cache.h"

namespace tciafs::cache {
namespace {

SeriesEntry SomeSeries() {
  SeriesEntry entry;
  entry.key = {"https://host/api|guest", source::SeriesUid("1.3.6.1")};
  entry.version = {"2020-01-02T03:04:05", 12, 345678};
  entry.pinned = true;
  entry.unsettled = true;
  entry.known = 12;
  entry.present = 11;
  entry.disk_bytes = 4096;
  entry.last_use_ms = 1'700'000'000'123;
  return entry;
}

InstanceEntry SomeInstance() {
  return {true, 2 * kBlockBytes + 5, "00112233445566778899aabbccddeeff", {1, ~uint64_t{0}, 3}};
}

TEST(IndexRecords, SeriesComeBackAsTheyWere) {
  const SeriesEntry entry = SomeSeries();
  const auto decoded = DecodeSeries(SeriesIdOf(entry.key), EncodeSeries(entry));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->key, entry.key);
  EXPECT_EQ(decoded->version.timestamp, entry.version.timestamp);
  EXPECT_EQ(decoded->version.image_count, 12);
  EXPECT_EQ(decoded->version.total_bytes, 345678);
  EXPECT_TRUE(decoded->pinned);
  EXPECT_FALSE(decoded->verified);
  EXPECT_TRUE(decoded->unsettled);
  EXPECT_EQ(decoded->known, 12);
  EXPECT_EQ(decoded->present, 11);
  EXPECT_EQ(decoded->disk_bytes, 4096);
  EXPECT_EQ(decoded->last_use_ms, entry.last_use_ms);
}

TEST(IndexRecords, EndAtTheirLimits) {
  SeriesEntry series = SomeSeries();
  const auto is_read = [&] {
    return DecodeSeries(SeriesIdOf(series.key), EncodeSeries(series)).has_value();
  };
  series.key = {std::string(kScopeBytesMax, 's'),
                source::SeriesUid(std::string(kUidBytesMax, '1'))};
  series.version.timestamp = std::string(kTimestampBytesMax, '2');
  EXPECT_TRUE(is_read()) << "all at once";
  series.key.scope += 's';
  EXPECT_FALSE(is_read());
  series.key = {"s", source::SeriesUid(std::string(kUidBytesMax + 1, '1'))};
  EXPECT_FALSE(is_read());
  series.key = {"s", source::SeriesUid("1")};
  series.version.timestamp += '2';
  EXPECT_FALSE(is_read());

  InstanceEntry instance = {false, kInstanceBytesMax, "", {}};
  EXPECT_TRUE(DecodeInstance("key", EncodeInstance("key", instance)));
  ++instance.size_bytes;
  EXPECT_FALSE(DecodeInstance("key", EncodeInstance("key", instance)));
}

TEST(IndexRecords, InstancesComeBackAsTheyWere) {
  const auto decoded = DecodeInstance("key", EncodeInstance("key", SomeInstance()));
  ASSERT_TRUE(decoded);
  EXPECT_TRUE(decoded->present);
  EXPECT_EQ(decoded->size_bytes, SomeInstance().size_bytes);
  EXPECT_EQ(decoded->md5_hex, SomeInstance().md5_hex);
  EXPECT_EQ(decoded->checksums, SomeInstance().checksums);
  const auto absent = DecodeInstance("key", EncodeInstance("key", {false, 77, "", {}}));
  ASSERT_TRUE(absent);
  EXPECT_FALSE(absent->present);
  EXPECT_EQ(absent->size_bytes, 77);
  EXPECT_EQ(absent->md5_hex, "");
}

TEST(IndexRecords, AnyChangedByteIsSeen) {
  const SeriesId id = SeriesIdOf(SomeSeries().key);
  std::string series = EncodeSeries(SomeSeries());
  std::string instance = EncodeInstance("key", SomeInstance());
  for (char& byte : series) {
    byte ^= 0x10;
    EXPECT_FALSE(DecodeSeries(id, series));
    byte ^= 0x10;
  }
  for (char& byte : instance) {
    byte ^= 0x10;
    EXPECT_FALSE(DecodeInstance("key", instance));
    byte ^= 0x10;
  }
  EXPECT_TRUE(DecodeInstance("key", instance));
  EXPECT_FALSE(DecodeInstance("yek", instance)) << "it belongs to its key";
  for (size_t size = 0; size < instance.size(); ++size)
    EXPECT_FALSE(DecodeInstance("key", instance.substr(0, size)));
  EXPECT_FALSE(DecodeInstance("key", instance + "x"));
}

TEST(IndexRecords, NamesOfDirectoriesAreIdsInHex) {
  const SeriesId id = SeriesIdOf(SomeSeries().key);
  ASSERT_EQ(id.size(), kSeriesIdBytes);
  const std::string directory = Layout("/c").SeriesDirectory(id);
  const std::string name = directory.substr(directory.rfind('/') + 1);
  EXPECT_EQ(directory, "/c/series/" + name.substr(0, 2) + "/" + name);
  EXPECT_EQ(name.size(), 2 * kSeriesIdBytes);
  EXPECT_EQ(name.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(id, SeriesIdOf({"https://host/api|alice", source::SeriesUid("1.3.6.1")}));
}

TEST(IndexRecords, AUidNamesItsFileAndNothingElseDoes) {
  const std::string longest(kDicomUidBytesMax, '1');
  EXPECT_EQ(InstanceFileName(source::SopUid(longest)), longest + ".dcm");
  EXPECT_EQ(InstanceFileName(source::SopUid(longest + "1")).front(), 'x');
  EXPECT_EQ(InstanceFileName(source::SopUid("1.2.3")), "1.2.3.dcm");
  for (const char* id : {"../x", ".1", "a", "journal", "1/2", "1 2"}) {
    const std::string name = InstanceFileName(source::SopUid(id));
    EXPECT_EQ(name.front(), 'x') << id;
    EXPECT_EQ(name.size(), 1 + 32 + 4u);
  }
}

class JournalTest : public ::testing::Test {
 protected:
  const SeriesId id_ = SeriesIdOf(SomeSeries().key);
  testing::TempDirectory temp_;
  std::unique_ptr<Disk> disk_ = PosixDisk();
  const std::string path_ = temp_.File("journal");
};

TEST_F(JournalTest, TellsWhatWasAppendedSinceItWasCleared) {
  auto journal = Journal::Create(*disk_, path_, id_);
  ASSERT_TRUE(journal);
  ASSERT_TRUE(journal->Append(Journal::Record(id_, source::SopUid("1"), SomeInstance())));
  ASSERT_TRUE(journal->Clear());
  ASSERT_TRUE(journal->Append(Journal::Record(id_, source::SopUid("2"), SomeInstance())));
  ASSERT_TRUE(journal->Append(Journal::Record(id_, source::SopUid("3"), SomeInstance())));
  const auto list = Journal::Replay(*disk_, path_, id_);
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ((*list)[0].first, source::SopUid("2"));
  EXPECT_EQ((*list)[1].second.checksums, SomeInstance().checksums);
  EXPECT_TRUE(Journal::Replay(*disk_, temp_.File("none"), id_)->empty());
}

TEST_F(JournalTest, OneLargerThanAnyTellsNothing) {
  const std::string record = Journal::Record(id_, source::SopUid("1"), SomeInstance());
  auto journal = Journal::Create(*disk_, path_, id_);
  ASSERT_TRUE(journal->Append(record));
  const auto size_bytes = static_cast<int64_t>(record.size());
  EXPECT_EQ(Journal::Replay(*disk_, path_, id_, size_bytes)->size(), 1u);
  EXPECT_TRUE(Journal::Replay(*disk_, path_, id_, size_bytes - 1)->empty());
}

TEST_F(JournalTest, EndsAtATornRecord) {
  const std::string whole = Journal::Record(id_, source::SopUid("1"), SomeInstance());
  const std::string next = Journal::Record(id_, source::SopUid("2"), SomeInstance());
  for (size_t size = 0; size < next.size(); ++size) {
    auto journal = Journal::Create(*disk_, path_, id_);
    ASSERT_TRUE(journal->Append(whole + next.substr(0, size)));
    ASSERT_EQ(Journal::Replay(*disk_, path_, id_)->size(), 1u) << size;
  }
  auto other = Journal::Create(*disk_, path_, id_);
  ASSERT_TRUE(other->Append(whole));
  EXPECT_TRUE(Journal::Replay(*disk_, path_, std::string(16, 'x'))->empty()) << "not its series";
}

TEST(Blocks, FollowEachOther) {
  static_assert(BlockCount(0) == 0 && BlockCount(1) == 1 && BlockBegin(0) == 0);
  static_assert(BlockCount(kHeadBlockBytes) == 1 && BlockCount(kHeadBlockBytes + 1) == 2);
  for (int64_t block = 0; block < 5; ++block) {
    const int64_t end = BlockBegin(block) + BlockSize(block);
    EXPECT_EQ(BlockBegin(block + 1), end);
    EXPECT_EQ(BlockAt(BlockBegin(block)), block);
    EXPECT_EQ(BlockAt(end - 1), block);
    EXPECT_EQ(BlockCount(end), block + 1);
  }
}

}  // namespace
}  // namespace tciafs::cache
