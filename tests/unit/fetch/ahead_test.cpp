// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A series that nobody has asked for yet.
#include <gtest/gtest.h>

#include "tciafs/fetch/limits.h"
#include "unit/fetch/fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;
using Ahead = Fetcher::Ahead;

class FetchAheadTest : public testing::FetcherFixture {
 protected:
  FetchAheadTest() { capped_.set_cap_bytes(1 << 20); }
  Ahead Fetch(const SeriesTarget& target) {
    const Ahead answer = fetcher_->FetchAhead(target);
    executor_.RunAll();
    return answer;
  }
};

TEST_F(FetchAheadTest, BringsTheSeriesOnce) {
  const auto target = Target(2, 6);
  EXPECT_EQ(Fetch(target), Ahead::kBegun);
  EXPECT_EQ(Fetch(target), Ahead::kNeedless) << "under way";
  ASSERT_EQ(source_.streams(), 1u);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  End(source_.stream(0));
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
  EXPECT_TRUE(fetcher_->Downloads().empty());
  EXPECT_EQ(Fetch(target), Ahead::kNeedless) << "here";
  EXPECT_TRUE(Read(target, "a")->ok());
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(FetchAheadTest, ReadersJoinIt) {
  const auto target = Target(2, 6);
  ASSERT_EQ(Fetch(target), Ahead::kBegun);
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  EXPECT_TRUE(b->ok());
  End(source_.stream(0));
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(FetchAheadTest, OneAtATime) {
  ASSERT_EQ(Fetch(Target(2, 6, "1")), Ahead::kBegun);
  EXPECT_EQ(Fetch(Target(2, 6, "2")), Ahead::kNotNow);
  Read(Target(2, 6, "1"), "a");  // now it is a reader's
  EXPECT_EQ(Fetch(Target(2, 6, "2")), Ahead::kBegun);
  EXPECT_EQ(source_.streams(), 2u);
}

TEST_F(FetchAheadTest, NotWhereOthersWaitOrNoPlaceIsFree) {
  Read(Target(2, 6, "1"), "a");
  Read(Target(2, 6, "2"), "a");
  EXPECT_EQ(Fetch(Target(2, 6, "3")), Ahead::kNotNow);
  Read(Target(2, 6, "4"), "a");  // waits
  Break(source_.stream(0), Errc::kPermission);
  EXPECT_EQ(source_.streams(), 3u);
  EXPECT_EQ(Fetch(Target(2, 6, "3")), Ahead::kNotNow);
  EXPECT_EQ(source_.streams(), 3u);
}

TEST_F(FetchAheadTest, NotIfItHadToEvict) {
  capped_.set_cap_bytes(100'000);
  EXPECT_EQ(Fetch(Target(2, 90'000)), Ahead::kNotNow);
  EXPECT_EQ(Fetch(Target(-1, -1)), Ahead::kNotNow) << "of unknown size";
  EXPECT_EQ(Fetch(Target(1'000'000'000'000'000, 10)), Ahead::kNotNow);
  EXPECT_EQ(source_.streams(), 0u);
  EXPECT_EQ(Fetch(Target(2, 60'000)), Ahead::kBegun);
}

TEST_F(FetchAheadTest, GivesItsPlaceToReaders) {
  options_.downloads_max = 1;
  Make();
  const auto ahead = Target(2, 6, "1");
  ASSERT_EQ(Fetch(ahead), Ahead::kBegun);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  const auto reader = Read(Target(1, 3, "2"), "x");
  EXPECT_EQ(source_.streams(), 1u);
  Pass(kIdleCheckMsMin);  // far less than a reader's own download would linger
  ASSERT_LT(kIdleCheckMsMin, options_.linger_ms);
  EXPECT_TRUE(source_.stream(0).stop.stop_requested());
  Break(source_.stream(0), Errc::kCancelled);
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("x", "xxx"));
  EXPECT_TRUE(reader->ok());
  EXPECT_EQ(cache_.Text(Key(ahead), SopUid("a")), "aaa");  // what arrived stays
}

TEST_F(FetchAheadTest, ItsFailureIsNobodys) {
  const auto target = Target(1, 3);
  ASSERT_EQ(Fetch(target), Ahead::kBegun);
  Break(source_.stream(0), Errc::kPermission);
  EXPECT_TRUE(fetcher_->Downloads().empty());
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "");
  const auto a = Read(target, "a");
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  EXPECT_TRUE(a->ok());
}

TEST_F(FetchAheadTest, NotWhatFailedForAReader) {
  const auto target = Target(1, 3);
  const auto a = Read(target, "a");
  Break(source_.stream(0), Errc::kPermission);
  EXPECT_TRUE(a->failed(Errc::kPermission));
  EXPECT_EQ(Fetch(target), Ahead::kNotNow);
}

TEST_F(FetchAheadTest, ShutdownEndsIt) {
  ASSERT_EQ(Fetch(Target(2, 6)), Ahead::kBegun);
  fetcher_->Shutdown();
  EXPECT_TRUE(source_.stream(0).stop.stop_requested());
  EXPECT_EQ(Fetch(Target(2, 6, "2")), Ahead::kNeedless);
}

}  // namespace
}  // namespace tciafs::fetch
