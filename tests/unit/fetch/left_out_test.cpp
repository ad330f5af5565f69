// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Instances the archive lists and never delivers: what asking for them again and again may cost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "tciafs/fetch/limits.h"
#include "unit/fetch/fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;

class LeftOutTest : public testing::FetcherFixture {
 protected:
  // Of `announced` instances of three bytes, all but the last `lacking`.
  void Deliver(const testing::ScriptedCall& stream, int announced, int lacking) {
    for (int i = 0; i < announced - lacking; ++i)
      ASSERT_TRUE(stream.Send("s" + std::to_string(i), "sss"));
    End(stream);
  }
  // A read that fails: two streams and the single image between them. What came last both times is
  // fetched singly, lest it was cut short.
  void ReadInVain(const SeriesTarget& target, int announced, int lacking) {
    const auto answer = Read(target, "ghost");
    ASSERT_EQ(source_.streams(), 1u);
    Deliver(source_.stream(0), announced, lacking);
    ASSERT_EQ(source_.singles(), 1u);
    Break(source_.single(0), Errc::kNotFound, "no such image");
    ASSERT_EQ(source_.streams(), 2u);
    Deliver(source_.stream(1), announced, lacking);
    ASSERT_EQ(source_.singles(), 2u);
    ASSERT_TRUE(source_.single(1).Send("s" + std::to_string(announced - lacking - 1), "sss"));
    End(source_.single(1));
    ASSERT_TRUE(answer->failed(Errc::kUnavailable));
  }
};

TEST_F(LeftOutTest, RetryingReaderNeverStreamsTheSeriesAgain) {
  const auto target = Target(20, 60);
  ReadInVain(target, 20, 1);
  int64_t memory_ms = options_.failure_memory_ms;
  for (size_t i = 1; i < 12; ++i) {
    Pass(memory_ms - 1);
    ASSERT_TRUE(Read(target, "ghost")->failed(Errc::kUnavailable));
    ASSERT_EQ(source_.singles(), i + 1) << "asked for too soon";
    Pass(1);
    const auto again = Read(target, "ghost");
    ASSERT_EQ(source_.singles(), i + 2);
    // Whatever the reason now: a whole stream was had.
    Break(source_.single(i + 1), i % 2 == 0 ? Errc::kNotFound : Errc::kUnavailable, "still not");
    ASSERT_TRUE(again->failed(Errc::kUnavailable));
    memory_ms = std::min(memory_ms * 2, kLeftOutMemoryMsMax);
  }
  EXPECT_EQ(source_.streams(), 2u);
  EXPECT_TRUE(fetcher_->Downloads().empty());
}

TEST_F(LeftOutTest, SeriesThatLacksMoreIsNotStreamedAgainForThemEither) {
  const auto target = Target(20, 60);
  ReadInVain(target, 20, 10);
  Pass(options_.failure_memory_ms);
  const auto again = Read(target, "ghost");
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_EQ(source_.singles(), 3u);
  Break(source_.single(2), Errc::kNotFound);
  EXPECT_TRUE(again->failed(Errc::kUnavailable));
  EXPECT_EQ(source_.streams(), 2u);
  EXPECT_EQ(Read(target, "another")->calls, 0);  // which no stream is known to lack
  EXPECT_EQ(source_.streams(), 3u);
}

TEST_F(LeftOutTest, NothingMakesRoomForWhatWouldBeRefused) {
  source_.set_refusal(Error{Errc::kOffline, "not asked"});
  EXPECT_TRUE(Read(Target(20, 60), "a")->failed(Errc::kOffline));
  EXPECT_EQ(cache_.begun(), 0);
  EXPECT_EQ(source_.streams(), 0u);
  source_.set_refusal(std::nullopt);
  Pass(options_.failure_memory_ms);
  Read(Target(20, 60), "a");
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(LeftOutTest, SuccessEndsIt) {
  const auto target = Target(20, 60);
  ReadInVain(target, 20, 1);
  Pass(options_.failure_memory_ms);
  const auto again = Read(target, "ghost");
  ASSERT_TRUE(source_.single(2).Send("ghost", "ggg"));
  End(source_.single(2));
  EXPECT_TRUE(again->ok());
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid("ghost")), "");
}

TEST_F(LeftOutTest, AnotherVersionIsStreamed) {
  ReadInVain(Target(20, 60), 20, 1);
  auto newer = Target(20, 60);
  newer.record.version.timestamp = "2021-01-01";
  EXPECT_EQ(Read(newer, "ghost")->calls, 0);
  EXPECT_EQ(source_.streams(), 3u);
}

TEST_F(LeftOutTest, GapOfAnEarlierRunIsNotStreamedForWhatTheArchiveDenies) {
  const auto target = Target(20, 60);
  for (int i = 0; i < 19; ++i)
    cache_.Put(Key(target), target.record.version, SopUid("s" + std::to_string(i)), "sss");
  const auto denied = Read(target, "ghost");
  Break(source_.single(0), Errc::kNotFound);
  EXPECT_TRUE(denied->failed(Errc::kUnavailable));
  EXPECT_EQ(source_.streams(), 0u);
}

TEST_F(LeftOutTest, GapOfAnEarlierRunIsStreamedWhenTheSingleImageSaysNothing) {
  const auto target = Target(20, 60);
  for (int i = 0; i < 19; ++i)
    cache_.Put(Key(target), target.record.version, SopUid("s" + std::to_string(i)), "sss");
  const auto ghost = Read(target, "ghost");
  Break(source_.single(0), Errc::kUnavailable, "busy");
  ASSERT_EQ(source_.streams(), 1u);
  ASSERT_TRUE(source_.stream(0).Send("ghost", "ggg"));
  EXPECT_EQ(ghost->calls, 0);
  Pass(kHoldMs);
  EXPECT_TRUE(ghost->ok());
}

}  // namespace
}  // namespace tciafs::fetch
