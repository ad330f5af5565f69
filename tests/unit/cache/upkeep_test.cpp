// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What is asked of a cache by people: what is there, is it intact, open it without changing it.
#include <fstream>

#include "unit/cache/cache_fixture.h"

namespace tciafs::cache {
namespace {

class CacheUpkeep : public CacheTest {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const CachedSeries& cached : cache_->Cached()) names.push_back(cached.key.series.text());
    return names;
  }
  Status Check(const std::string& series, const std::string& sop) {
    return cache_->CheckIntact(Key(series), Sop(sop), {});
  }
  void ChangeByte(const std::string& series, const std::string& sop, int64_t offset) {
    std::fstream file(DataFile(series, sop), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(offset);
    file.put(byte);
    ASSERT_TRUE(file.good());
  }
};

TEST_F(CacheUpkeep, TellsWhatIsThereLeastRecentlyUsedFirst) {
  ASSERT_TRUE(Fill("a", 2, kMiB));
  ASSERT_TRUE(Fill("b", 1, kMiB));
  ASSERT_TRUE(cache_->Pin(Key("c"), true));
  EXPECT_TRUE(Has("a"));  // used again
  EXPECT_EQ(Names(), (std::vector<std::string>{"c", "b", "a"}));
  const CachedSeries a = cache_->Cached().back();
  EXPECT_EQ(a.instances, 2);
  EXPECT_GE(a.disk_bytes, 2 * kMiB);
  EXPECT_TRUE(a.verified);
  EXPECT_FALSE(a.pinned || a.in_use);
  const CachedSeries c = cache_->Cached().front();
  EXPECT_TRUE(c.pinned);
  EXPECT_EQ(c.instances, 0);
  ASSERT_TRUE(cache_->Evict(Key("a")));
  EXPECT_EQ(Names(), (std::vector<std::string>{"c", "b"}));
  const auto open = Open("b", "1.1");
  EXPECT_TRUE(cache_->Cached().back().in_use);
}

TEST_F(CacheUpkeep, CheckingFindsADamagedBlockThatWasIntactBefore) {
  ASSERT_TRUE(Fill("s", 2, kMiB));
  ASSERT_TRUE(Fill("t", 1, kMiB));
  const auto before = Names();
  EXPECT_TRUE(Check("s", "1.1"));
  EXPECT_EQ(Names(), before);  // no use
  auto held = Open("s", "1.1");
  ASSERT_TRUE(held);
  ChangeByte("s", "1.1", kMiB - 1);
  const Status checked = Check("s", "1.1");
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::kCorrupt);
  EXPECT_FALSE(Has("s", "1.1"));
  EXPECT_EQ((*held)->Read(0, 1).error().code, Errc::kCorrupt);
  EXPECT_TRUE(Has("s", "1.2"));
  EXPECT_FALSE(cache_->Verified(Key("s"), Version()));
  EXPECT_EQ(Check("s", "1.1").error().code, Errc::kNotFound);
  held->reset();
  ExpectAccountsRight();
}

TEST_F(CacheUpkeep, CheckingComparesTheMd5AndTheSize) {
  {
    auto writer = cache_->BeginSeries({Key("s"), Version()});
    ASSERT_TRUE(writer);
    ASSERT_TRUE(Write(**writer, "s", "1.1", 10, std::string(32, 'a')));
    ASSERT_TRUE(Write(**writer, "s", "1.2", kMiB));
  }
  EXPECT_NE(Check("s", "1.1").error().message.find("MD5"), std::string::npos);
  std::filesystem::resize_file(DataFile("s", "1.2"), kMiB - 1);
  EXPECT_NE(Check("s", "1.2").error().message.find("size"), std::string::npos);
  EXPECT_EQ(cache_->usage().instances, 0);
  ExpectAccountsRight();
}

TEST_F(CacheUpkeep, CheckingCanBeInterrupted) {
  ASSERT_TRUE(Fill("s", 1, kMiB));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(cache_->CheckIntact(Key("s"), Sop("1.1"), stop.get_token()).error().code,
            Errc::kCancelled);
  EXPECT_EQ(Check("nothing", "1.1").error().code, Errc::kNotFound);
  EXPECT_TRUE(Has("s"));
}

TEST_F(CacheUpkeep, OpeningItAsItIsEvictsNothing) {
  for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 1, 10 * kMiB));
  options_.cap_bytes = kCapBytesMin;
  options_.free_floor_percent = 99;
  options_.as_it_is = true;
  Reopen();
  EXPECT_EQ(Names().size(), 3u);
  EXPECT_TRUE(Check("a", "1.1"));
  options_.as_it_is = false;
  options_.free_floor_percent = 0;
  Reopen();
  EXPECT_EQ(Names(), (std::vector<std::string>{"c"}));
}

}  // namespace
}  // namespace tciafs::cache
