// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <random>

#include "unit/cache/cache_fixture.h"

namespace tciafs::cache {
namespace {

class CacheSpace : public CacheTest {
 protected:
  CacheSpace() { options_.cap_bytes = 16 * kMiB; }
};

TEST_F(CacheSpace, EvictsTheLeastRecentlyUsed) {
  for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 4, kMiB)) << series;
  ASSERT_TRUE(Has("a"));  // the youngest now
  ASSERT_TRUE(Fill("d", 4, kMiB));
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
  EXPECT_TRUE(Has("c"));
  EXPECT_TRUE(Has("d"));
  ExpectAccountsRight();
}

TEST_F(CacheSpace, RemembersTheOrderAcrossReopening) {
  for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 4, kMiB));
  ASSERT_TRUE(Has("a"));
  Reopen();
  ASSERT_TRUE(Fill("d", 4, kMiB));
  EXPECT_FALSE(Has("b"));
  EXPECT_TRUE(Has("a"));
}

// Many uses within a millisecond are counted ahead of the clock, and a clock may be set back.
TEST_F(CacheSpace, UsesAfterReopeningAreLaterThanAllBefore) {
  for (const int64_t back_ms : {0, 86'400'000}) {
    for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 4, kMiB));
    for (int use = 0; use < 10; ++use) ASSERT_TRUE(Has("b"));
    clock_.JumpUnix(-back_ms);
    Reopen();
    ASSERT_TRUE(Has("a"));
    ASSERT_TRUE(Has("c"));
    ASSERT_TRUE(Fill("d", 4, kMiB));
    EXPECT_FALSE(Has("b"));
    EXPECT_TRUE(Has("a"));
    ASSERT_TRUE(cache_->Evict(Key("d")));
  }
}

TEST_F(CacheSpace, SkipsPinnedAlsoAfterReopening) {
  for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 4, kMiB));
  ASSERT_TRUE(cache_->Pin(Key("a"), true));
  ASSERT_TRUE(cache_->Pin(Key("never seen"), true));
  Reopen();
  ASSERT_TRUE(Fill("d", 4, kMiB));
  EXPECT_TRUE(Has("a"));
  EXPECT_FALSE(Has("b"));
  ASSERT_TRUE(cache_->Pin(Key("a"), false));
  ASSERT_TRUE(cache_->Pin(Key("not there"), false));
  for (const char* series : {"e", "f", "g"}) ASSERT_TRUE(Fill(series, 4, kMiB));
  EXPECT_FALSE(Has("a"));
}

TEST_F(CacheSpace, PinsManyAtOnce) {
  ASSERT_TRUE(Fill("a", 4, kMiB));
  std::vector<SeriesPlan> plans = {{Key("a"), Version()}, {Key("b"), Version("2020", 4, 4 * kMiB)}};
  ASSERT_TRUE(cache_->Pin(plans, true));
  EXPECT_TRUE(cache_->Pinned(Key("a")));
  EXPECT_TRUE(cache_->Pinned(Key("b")));
  EXPECT_FALSE(cache_->Pinned(Key("c")));
  Reopen();
  EXPECT_TRUE(cache_->Pinned(Key("a")));
  EXPECT_TRUE(cache_->Pinned(Key("b")));
  plans.pop_back();
  ASSERT_TRUE(cache_->Pin(plans, false));
  EXPECT_FALSE(cache_->Pinned(Key("a")));
  EXPECT_TRUE(cache_->Pinned(Key("b")));
  EXPECT_EQ(cache_->Pin({{Key(""), Version()}}, true).error().code, Errc::kInvalidArgument);
}

TEST_F(CacheSpace, TellsForWhatThereIsRoom) {
  const auto plan = [](const char* series, int64_t mib) {
    return SeriesPlan{Key(series), Version("2020-01-01", mib, mib * kMiB)};
  };
  const RoomFor empty = cache_->CheckRoom({plan("a", 4), plan("b", 8)});
  EXPECT_TRUE(empty.Fits());
  EXPECT_GE(empty.needed_bytes, 12 * kMiB);
  EXPECT_LT(empty.needed_bytes, 13 * kMiB);
  EXPECT_FALSE(cache_->CheckRoom({plan("a", 4), plan("b", 8), plan("c", 4)}).Fits());
  EXPECT_TRUE(cache_->CheckRoom({plan("a", -1)}).Fits()) << "of unknown size";

  ASSERT_TRUE(Fill("a", 4, kMiB, plan("a", 4).version));
  EXPECT_EQ(cache_->CheckRoom({plan("a", 4)}).needed_bytes, 0);
  EXPECT_FALSE(cache_->CheckRoom({plan("a", 4), plan("b", 8), plan("c", 4)}).Fits());
  EXPECT_TRUE(cache_->CheckRoom({plan("b", 8), plan("c", 5)}).Fits()) << "the other is evicted";

  ASSERT_TRUE(cache_->Pin({plan("a", 4), plan("z", 3)}, true));
  const RoomFor besides_pinned = cache_->CheckRoom({plan("b", 8), plan("c", 5)});
  EXPECT_FALSE(besides_pinned.Fits());
  EXPECT_GE(besides_pinned.pinned_bytes, 4 * kMiB);
  EXPECT_GE(besides_pinned.pinned_lack_bytes, 3 * kMiB);
  EXPECT_LT(besides_pinned.pinned_lack_bytes, 4 * kMiB);
  ASSERT_TRUE(cache_->Pin({plan("a", 4), plan("z", 3)}, false));

  const auto held = Open("a", "1.1");
  const RoomFor besides_used = cache_->CheckRoom({plan("b", 8), plan("c", 5)});
  EXPECT_FALSE(besides_used.Fits());
  EXPECT_GE(besides_used.in_use_bytes, 4 * kMiB);
  EXPECT_EQ(besides_used.pinned_bytes, 0);

  auto writer = cache_->BeginSeries(plan("b", 8));
  ASSERT_TRUE(writer);
  EXPECT_EQ(cache_->CheckRoom({plan("b", 8)}).needed_bytes, 0) << "promised already";
  EXPECT_FALSE(cache_->CheckRoom({plan("c", 4)}).Fits());
}

TEST_F(CacheSpace, RoomEndsAtTheFloorOfTheDisk) {
  faults_.free_bytes = 10 * kMiB;
  const SeriesPlan plan{Key("a"), Version("2020-01-01", 4, 4 * kMiB)};
  EXPECT_TRUE(cache_->CheckRoom({plan}).Fits());
  options_.free_floor_bytes = 8 * kMiB;
  Reopen();
  EXPECT_FALSE(cache_->CheckRoom({plan}).Fits());
}

TEST_F(CacheSpace, SkipsWhatIsInUse) {
  for (const char* series : {"a", "b", "c"}) ASSERT_TRUE(Fill(series, 4, kMiB));
  auto held = Open("a", "1.1");
  auto writer = cache_->BeginSeries({Key("b"), Version()});
  ASSERT_TRUE(Fill("d", 4, kMiB));
  EXPECT_TRUE(Has("a"));
  EXPECT_TRUE(Has("b"));
  EXPECT_FALSE(Has("c"));
  auto others = Open("d", "1.1");
  EXPECT_EQ(Fill("e", 4, kMiB).error().code, Errc::kNoSpace) << "all the rest is in use";
  ExpectBytes(**held, "a", "1.1");
}

TEST_F(CacheSpace, RefusesBeforeAByteIsFetchedWhatCanNeverFit) {
  ASSERT_TRUE(Fill("a", 4, kMiB));
  const auto refused = cache_->BeginSeries({Key("big"), Version("", 1, 17 * kMiB)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kNoSpace);
  EXPECT_NE(refused.error().message.find("series needs 17.0 MiB, cache holds at most"),
            std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(Has("a")) << "nothing was evicted for it";
}

TEST_F(CacheSpace, EvictsNothingWhereThatWouldNotSuffice) {
  ASSERT_TRUE(Fill("a", 4, kMiB));
  ASSERT_TRUE(Fill("b", 4, kMiB));
  auto held = Open("a", "1.1");
  EXPECT_EQ(cache_->BeginSeries({Key("c"), Version("", 1, 13 * kMiB)}).error().code,
            Errc::kNoSpace);
  EXPECT_TRUE(Has("b"));
}

TEST_F(CacheSpace, KeepsTheFloorOfTheDiskFree) {
  options_.free_floor_bytes = 100 * kMiB;
  faults_.free_bytes = 104 * kMiB;
  Reopen();
  EXPECT_EQ(cache_->BeginSeries({Key("a"), Version("", 1, 5 * kMiB)}).error().code, Errc::kNoSpace);
  auto writer = cache_->BeginSeries({Key("a"), Version("", 1, 2 * kMiB)});
  ASSERT_TRUE(writer);
  EXPECT_EQ(cache_->BeginSeries({Key("b"), Version("", 1, 2 * kMiB)}).error().code, Errc::kNoSpace)
      << "what is promised counts";
  writer->reset();
  options_.free_floor_percent = 50;
  faults_.total_bytes = 300 * kMiB;
  Reopen();
  EXPECT_EQ(cache_->usage().free_floor_bytes, 150 * kMiB);
  EXPECT_EQ(Fill("a", 1, 5000).error().code, Errc::kNoSpace);
}

TEST_F(CacheSpace, KeepsTheFloorAlsoIfOthersFillTheDiskMeanwhile) {
  options_.free_floor_bytes = 100 * kMiB;
  Reopen();
  ASSERT_TRUE(Fill("old", 1, kMiB));
  auto writer = cache_->BeginSeries({Key("s"), Version("", 10, 10 * kMiB)});
  ASSERT_TRUE(writer);
  Status status = Write(**writer, "s", "1.1", kMiB);
  ASSERT_TRUE(status);
  int published = 1;
  faults_.free_bytes = 101 * kMiB;
  while (status && published < 10) {
    status = Write(**writer, "s", "1." + std::to_string(published + 1), kMiB);
    if (status) ++published;
  }
  ASSERT_FALSE(status) << "what was promised cannot be kept any more";
  EXPECT_EQ(status.error().code, Errc::kNoSpace);
  EXPECT_LE(published, 2) << "noticed within what is kept free above the floor";
  EXPECT_FALSE(Has("old")) << "evicted first";
  EXPECT_TRUE(Has("s")) << "what was written stays";
  writer->reset();
  ExpectAccountsRight();
}

TEST_F(CacheSpace, ADirectoryIsChargedByItsEntries) {
  const std::string uid(60, '1');
  {
    auto writer = cache_->BeginSeries({Key("s"), Version()});
    ASSERT_TRUE(writer);
    for (int i = 0; i < 600; ++i)
      ASSERT_TRUE(Write(**writer, "s", uid + "." + std::to_string(i), 1));
  }
  int64_t real_bytes = 0;
  struct stat info {};
  const auto directory = std::filesystem::path(DataFile("s", "x")).parent_path();
  ASSERT_EQ(::stat(directory.c_str(), &info), 0);
  real_bytes = info.st_size;
  EXPECT_GE(DirectoryBytes(600), real_bytes);
  EXPECT_GE(DirectoryBytes(10'000), 1'260'000) << "as measured on ext4";
  ExpectAccountsRight();
  {
    auto writer = cache_->BeginSeries({Key("s"), Version()});
    for (int i = 0; i < 300; ++i)
      ASSERT_TRUE((*writer)->Withdraw(Sop(uid + "." + std::to_string(i))));
  }
  ExpectAccountsRight();
  Reopen();
  ExpectAccountsRight();
  ASSERT_TRUE(cache_->Evict(Key("s")));
  ExpectAccountsRight();
}

TEST_F(CacheSpace, AnUnknownSizeStopsAtTheCap) {
  auto writer = cache_->BeginSeries({Key("s"), Version()});
  Status status;
  int published = 0;
  while (status && published < 100) {
    status = Write(**writer, "s", "1." + std::to_string(published + 1), kMiB);
    if (status) ++published;
    EXPECT_LE(MeasuredBytes(options_.directory), options_.cap_bytes);
  }
  EXPECT_EQ(status.error().code, Errc::kNoSpace);
  EXPECT_GE(published, 12);
  EXPECT_EQ(cache_->usage().instances, published) << "what fitted stays";
  writer->reset();
  ExpectAccountsRight();
}

TEST_F(CacheSpace, ASmallerCapTakesEffectAtOpening) {
  options_.cap_bytes = 40 * kMiB;
  Reopen();
  for (const char* series : {"a", "b", "c", "d"}) ASSERT_TRUE(Fill(series, 8, kMiB));
  options_.cap_bytes = 16 * kMiB;
  Reopen();
  EXPECT_LE(cache_->usage().used_bytes, options_.cap_bytes);
  EXPECT_TRUE(Has("d"));
  EXPECT_FALSE(Has("a"));
  ExpectAccountsRight();
}

// Random operations against the promises: never above the cap, never wrong bytes, accounts that
// agree with the disk.
TEST_F(CacheSpace, HoldsItsPromisesUnderRandomUse) {
  for (const unsigned seed : {1u, 2u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    std::vector<std::pair<std::string, std::shared_ptr<InstanceFile>>> held;
    for (int step = 0; step < 100; ++step) {
      const std::string series = "1." + std::to_string(below(12));
      switch (below(8)) {
        case 0:
        case 1:
        case 2: {
          const int count = 1 + below(6);
          const bool told = below(2) == 0;
          const auto version = told ? Version("2020-01-01", -1, count * 700'000) : Version();
          auto writer = cache_->BeginSeries({Key(series), version});
          if (!writer) break;
          for (int i = 1; i <= count; ++i)
            if (!Write(**writer, series, "1." + std::to_string(i), 700'000)) break;
          if (below(4) == 0) (void)(*writer)->Withdraw(Sop("1.1"));
          break;
        }
        case 3:
          (void)cache_->Evict(Key(series));
          break;
        case 4:
          ASSERT_TRUE(cache_->Pin(Key("1.0"), below(2) == 0));
          break;
        case 5:
          if (held.size() > 4) held.erase(held.begin() + below(static_cast<int>(held.size())));
          break;
        case 6:
          if (below(10) == 0) {
            held.clear();
            Reopen();
          }
          break;
        default:
          for (const auto& known : cache_->Known(Key(series), Version())) {
            auto file = Open(series, known.sop.text());
            ASSERT_EQ(file.has_value(), known.cached);
            if (file) held.emplace_back(series + "/" + known.sop.text(), std::move(*file));
          }
      }
      const Usage usage = cache_->usage();
      ASSERT_LE(usage.used_bytes + usage.reserved_bytes, options_.cap_bytes);
      ASSERT_LE(MeasuredBytes(options_.directory), options_.cap_bytes);
      if (held.empty()) ExpectAccountsRight();
      for (const auto& [seed_text, file] : held) {
        const std::string bytes = MustRead(*file, 0, 5000);
        if (bytes.substr(0, 6) == "error:") continue;  // withdrawn
        ASSERT_EQ(bytes, AsText(PatternBytes(seed_text, 5000)));
      }
    }
    held.clear();
    ExpectAccountsRight();
  }
}

}  // namespace
}  // namespace tciafs::cache
