// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/fake_block_cache.h"
#include "tciafs/fetch/limits.h"
#include "tciafs/util/clock.h"
#include "unit/fetch/fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;
using testing::Md5Of;

// As the fetcher is by default; the executor runs when told.
class QueuedSinkTest : public testing::FetcherFixture {
 protected:
  QueuedSinkTest() { options_.queue_bytes_max = kQueueBytesMax; }
  static std::string Text(char first, size_t size) {
    std::string text(size, first);
    for (size_t i = 0; i < size; i += 97) text[i] = static_cast<char>(i / 97);
    return text;
  }
  std::string Md5InCache(const fetch::SeriesTarget& target, const std::string& sop) {
    const auto known = cache_.Known(Key(target), target.record.version, SopUid(sop));
    return known ? known->md5_hex : "";
  }
};

TEST_F(QueuedSinkTest, WhatTheSourceDeliversIsTakenLater) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  source_.stream(0).Done();
  EXPECT_EQ(a->calls, 0);
  executor_.RunAll();
  EXPECT_TRUE(a->ok());
  EXPECT_EQ(Md5InCache(target, "a"), Md5Of("aaa"));
  EXPECT_EQ(Md5InCache(target, "b"), Md5Of("bbb"));
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
  EXPECT_TRUE(fetcher_->Downloads().empty());
}

// Whole in the queue or not, of any size around a piece's: the bytes and their sum are the same.
TEST_F(QueuedSinkTest, BytesAndSumsOfAllSizes) {
  const std::vector<size_t> sizes = {0,
                                     1,
                                     kQueueHeadBytes,
                                     kQueueHeadBytes + 1,
                                     kQueueHeadBytes + kQueuePieceBytes,
                                     kQueuePieceBytes - 1,
                                     kQueuePieceBytes,
                                     kQueuePieceBytes + 1,
                                     3 * kQueuePieceBytes,
                                     kQueueBytesMax + 5,
                                     7,
                                     2 * kQueueBytesMax,
                                     8};
  int64_t total = 0;
  for (const size_t size : sizes) total += static_cast<int64_t>(size);
  const auto target = Target(static_cast<int64_t>(sizes.size()), total);
  Read(target, "s0");
  for (size_t i = 0; i < sizes.size(); ++i) {
    const std::string text = Text(static_cast<char>('a' + i), sizes[i]);
    ASSERT_TRUE(source_.stream(0).Send("s" + std::to_string(i), text));
    if (i % 3 == 2) executor_.RunAll();
  }
  End(source_.stream(0));
  for (size_t i = 0; i < sizes.size(); ++i) {
    const std::string text = Text(static_cast<char>('a' + i), sizes[i]);
    const std::string sop = "s" + std::to_string(i);
    EXPECT_TRUE(cache_.Text(Key(target), SopUid(sop)) == text) << sizes[i] << " bytes";
    EXPECT_EQ(Md5InCache(target, sop), Md5Of(text)) << sizes[i] << " bytes";
  }
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
}

// Whatever slices the source delivers: what the cache gets are its own blocks, not parts of them.
TEST_F(QueuedSinkTest, PiecesAreTheCachesBlocks) {
  const auto target = Target();
  Read(target, "a");
  const std::string text = Text('x', kQueueHeadBytes + 2 * kQueuePieceBytes + 5);
  for (const char* sop : {"a", "b"}) {
    ASSERT_TRUE(source_.stream(0).Begin(sop));
    for (size_t at = 0; at < text.size(); at += 50'000)
      ASSERT_TRUE(source_.stream(0).sink->Data(
          AsBytes(text).subspan(at).first(std::min<size_t>(50'000, text.size() - at))));
    ASSERT_TRUE(source_.stream(0).sink->EndInstance());
  }
  End(source_.stream(0));
  EXPECT_EQ(cache_.appended_sizes(),
            (std::vector<size_t>{kQueueHeadBytes, kQueuePieceBytes, kQueuePieceBytes, 5,  //
                                 kQueueHeadBytes, kQueuePieceBytes, kQueuePieceBytes, 5}));
  EXPECT_TRUE(cache_.Text(Key(target), SopUid("b")) == text);
}

// The sooner of them is all a reader waits for; the second need not be whole.
TEST_F(QueuedSinkTest, TheFirstIsThereOnceTheSecondHasBegun) {
  const auto target = Target();
  const auto a = Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  executor_.RunAll();
  EXPECT_EQ(a->calls, 0);
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  executor_.RunAll();
  EXPECT_TRUE(a->ok());
}

// The first at once; then several at a time, where the source is fast, and soon, where it is slow.
TEST_F(QueuedSinkTest, WhatIsWholeWaitsForOthersAMoment) {
  const auto target = Target(10, 10 * static_cast<int64_t>(kQueueBytesMax / 10));
  Read(target, "s0");
  const std::string text = Text('x', kQueueBytesMax / 10);
  const auto here = [&](const std::string& sop) {
    executor_.RunAll();
    return cache_.Text(Key(target), SopUid(sop)) == text;
  };
  int next = 0;
  const auto send = [&] { return source_.stream(0).Send("s" + std::to_string(next++), text); };
  ASSERT_TRUE(send());
  executor_.RunAll();
  ASSERT_TRUE(send());
  EXPECT_TRUE(here("s0"));
  const size_t before = cache_.appended_sizes().size();
  ASSERT_TRUE(send());
  executor_.RunAll();
  EXPECT_EQ(cache_.appended_sizes().size(), before);
  scheduler_.Advance(kQueueHoldMs);
  executor_.RunAll();
  EXPECT_GT(cache_.appended_sizes().size(), before);
  EXPECT_TRUE(here("s1"));  // something followed it
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(send());
  EXPECT_TRUE(here("s8"));
  End(source_.stream(0));
  EXPECT_TRUE(here("s9"));
}

// No thread of the executor ever runs, and the source's is not held up for it.
TEST_F(QueuedSinkTest, FullQueueIsEmptiedByTheSourcesThread) {
  const auto target = Target();
  Read(target, "s0");
  const std::string text = Text('x', kQueueBytesMax / 8);
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(source_.stream(0).Send("s" + std::to_string(i), text));
  EXPECT_TRUE(cache_.Text(Key(target), SopUid("s40")) == text);
  EXPECT_EQ(cache_.Text(Key(target), SopUid("s63")), "");
  End(source_.stream(0));
  EXPECT_TRUE(cache_.Text(Key(target), SopUid("s63")) == text);
}

TEST_F(QueuedSinkTest, FailureEndsTheStreamAndIsToldAsItsOwn) {
  const auto target = Target(3, 9);
  const auto b = Read(target, "b");
  cache_.SpaceLeft(4);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  executor_.RunAll();
  const Status next = source_.stream(0).Begin("c");
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Errc::kNoSpace);
  Break(source_.stream(0), Errc::kNoSpace);
  EXPECT_TRUE(b->failed(Errc::kNoSpace));
  EXPECT_EQ(source_.streams(), 1u);
}

// The source has done its part before the failure shows.
TEST_F(QueuedSinkTest, LateFailureIsNotTakenForSuccess) {
  const auto target = Target(1, 3);
  const auto a = Read(target, "a");
  cache_.SpaceLeft(2);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  End(source_.stream(0));
  EXPECT_TRUE(a->failed(Errc::kNoSpace));
  EXPECT_FALSE(cache_.Verified(Key(target), target.record.version));
}

TEST_F(QueuedSinkTest, WrongMd5IsNoticed) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  source_.stream(0).Expect("a", Md5Of("abc"));
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  End(source_.stream(0));
  EXPECT_EQ(a->calls, 0);
  ASSERT_EQ(source_.singles(), 1u);
  source_.single(0).Expect("a", Md5Of("abc"));
  ASSERT_TRUE(source_.single(0).Send("a", "abc"));
  End(source_.single(0));
  EXPECT_TRUE(a->ok());
}

TEST_F(QueuedSinkTest, HalfAnInstanceIsNotPublished) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  ASSERT_TRUE(source_.stream(0).sink->Data(AsBytes("b")));
  Break(source_.stream(0), Errc::kUnavailable);
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "aaa");
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "");
  EXPECT_EQ(b->calls, 0);
}

TEST_F(QueuedSinkTest, ShutdownLeavesTheQueueBehind) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  fetcher_->Shutdown();
  EXPECT_TRUE(a->failed(Errc::kCancelled));
  executor_.RunAll();
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "");
  EXPECT_FALSE(source_.stream(0).Begin("c"));
}

// More streams than threads, each through a queue that is always full.
TEST(QueuedSinkRace, StreamsOnFewThreadsComeToTheirEnds) {
  constexpr int kStreams = 6;
  constexpr int kInstances = 40;
  WorkerPool pool("fetch-test", 2);
  TimerThread timers;
  SystemClock clock;
  testing::FakeBlockCache cache;
  testing::ScriptedSource source("main");
  const std::string text(kQueuePieceBytes / 2, 'x');
  source.set_script([&](const testing::ScriptedCall& call) {
    pool.Post([call, &text] {
      for (int i = 0; i < kInstances; ++i)
        static_cast<void>(call.Send("s" + std::to_string(i), text));
      call.Done();
    });
  });
  FetchOptions options;
  options.downloads_max = kStreams;
  options.queue_bytes_max = 2 * kQueuePieceBytes;
  auto fetcher = CreateSeriesFetcher(options, {&source}, cache, clock, pool, timers);
  std::latch answered(kStreams);
  std::atomic<int> served = 0;
  std::vector<cache::SeriesKey> keys;
  for (int i = 0; i < kStreams; ++i) {
    SeriesTarget target;
    target.record.series = source::SeriesUid("series" + std::to_string(i));
    target.record.version = {"2020-01-01", kInstances,
                             kInstances * static_cast<int64_t>(text.size())};
    keys.push_back({"main", target.record.series});
    fetcher->Acquire(target, SopUid("s" + std::to_string(kInstances - 1)), {}, [&](auto result) {
      if (result) ++served;
      answered.count_down();
    });
  }
  answered.wait();
  fetcher.reset();
  EXPECT_EQ(served, kStreams);
  for (const auto& key : keys) EXPECT_TRUE(cache.Text(key, SopUid("s0")) == text);
  EXPECT_EQ(cache.breaches(), 0);
}

}  // namespace
}  // namespace tciafs::fetch
