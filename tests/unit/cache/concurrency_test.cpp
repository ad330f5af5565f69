// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <atomic>
#include <random>
#include <thread>

#include "cache/index.h"
#include "unit/cache/cache_fixture.h"
#include "unit/cache/fault_hook.h"

namespace tciafs::cache {
namespace {

class CacheConcurrency : public CacheTest {
 protected:
  CacheConcurrency() { options_.cap_bytes = 16 * kMiB; }
  static constexpr int kSeries = 10;
  static std::string Name(unsigned number) { return "1." + std::to_string(number % kSeries); }
};

TEST_F(CacheConcurrency, WritersReadersAndEvictionsAgree) {
  std::atomic<int> opened = 0;
  std::atomic<int> published = 0;
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 3; ++seed) {
    threads.emplace_back([&, seed] {
      std::mt19937 random(seed);
      for (int round = 0; round < 12; ++round) {
        const std::string series = Name(random());
        auto writer = cache_->BeginSeries({Key(series), Version()});
        if (!writer) continue;
        for (int i = 1; i <= 5; ++i)
          published += Write(**writer, series, "1." + std::to_string(i), 500'000) ? 1 : 0;
        if (random() % 3 == 0) (void)(*writer)->Withdraw(Sop("1.2"));
        (void)(*writer)->MarkVerified();
      }
    });
  }
  std::atomic<bool> stop = false;
  std::vector<std::thread> others;
  for (unsigned seed = 0; seed < 3; ++seed) {
    others.emplace_back([&, seed] {
      std::mt19937 random(100 + seed);
      while (!stop) {
        const std::string series = Name(random());
        const std::string sop = "1." + std::to_string(1 + random() % 5);
        auto file = Open(series, sop);
        (void)cache_->Known(Key(series), Version(), Sop(sop));
        if (!file) continue;
        ++opened;
        const std::string bytes = MustRead(**file, 0, 4000);
        if (bytes.substr(0, 6) == "error:") continue;  // withdrawn meanwhile
        EXPECT_EQ(bytes, AsText(Bytes(series, sop, 4000)));
      }
    });
  }
  others.emplace_back([&] {
    std::mt19937 random(200);
    while (!stop) {
      (void)cache_->Evict(Key(Name(random())));
      (void)cache_->Known(Key(Name(random())), Version());
      EXPECT_TRUE(cache_->Pin(Key("1.0"), random() % 2 == 0));
      const Usage usage = cache_->usage();
      EXPECT_LE(usage.used_bytes + usage.reserved_bytes, usage.cap_bytes);
    }
  });
  for (auto& thread : threads) thread.join();
  stop = true;
  for (auto& thread : others) thread.join();
  EXPECT_GT(published, 0);
  EXPECT_GT(opened, 0);
  ExpectAccountsRight();
  Reopen();
  ExpectAccountsRight();
}

TEST_F(CacheConcurrency, ReadersOfOneDamagedInstanceAgreeThatItIsGone) {
  ASSERT_TRUE(Fill("s", 1, 3 * kMiB));
  cache_.reset();
  {
    const UniqueFd file(::open(DataFile("s", "1.1").c_str(), O_WRONLY));
    ASSERT_EQ(::pwrite(file.get(), "?", 1, 2 * kMiB), 1);
  }
  Reopen();
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      auto file = Open("s", "1.1");
      if (!file) return;
      EXPECT_EQ((*file)->Read(0, 3 * kMiB).error().code, Errc::kCorrupt);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_FALSE(Has("s"));
  ExpectAccountsRight();
}

// A full index forgets what has no bytes; a series that is fetched again in that very moment must
// not count what was just forgotten.
TEST_F(CacheConcurrency, ASeriesIsLoadedBeforeOrAfterItIsForgotten) {
  ASSERT_TRUE(Fill("s", 3, 5000));
  ASSERT_TRUE(cache_->Evict(Key("s")));
  Reopen();
  std::atomic<int> commits = 0;
  std::thread fetch;
  testing::FaultHook() = [&](std::string_view name) {
    if (name != "cache.index.commit") return 0;
    const int commit = ++commits;
    if (commit == 1) return ENOSPC;
    if (commit == 2) {  // the one that forgets, its changes taken and not yet committed
      fetch = std::thread([&] { EXPECT_TRUE(Fill("s", 3, 5000)); });
      ::usleep(200'000);
    }
    return 0;
  };
  EXPECT_TRUE(cache_->Pin(Key("other"), true));
  ASSERT_TRUE(fetch.joinable());
  fetch.join();
  testing::FaultHook() = nullptr;
  cache_.reset();
  auto index = Index::Open(Layout(options_.directory).index_directory(), 8 * kMiB);
  ASSERT_TRUE(index);
  const SeriesId id = SeriesIdOf(Key("s"));
  EXPECT_EQ((*(*index)->Series(id))->known, 3);
  EXPECT_EQ((*index)->Instances(id)->size(), 3u);
}

}  // namespace
}  // namespace tciafs::cache
