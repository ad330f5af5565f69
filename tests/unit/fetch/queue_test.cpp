// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Who waits for whom: downloads queued behind others for a place, or for space in the cache.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tciafs/fetch/limits.h"
#include "unit/fetch/fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;

class QueueTest : public testing::FetcherFixture {
 protected:
  // A reader of the first instance, served, of a series that goes on.
  void ReadTheFirst(const SeriesTarget& target, size_t stream) {
    const auto reader = Read(target, "a");
    ASSERT_EQ(source_.streams(), stream + 1);
    ASSERT_TRUE(source_.stream(stream).Send("a", "aaa"));
    ASSERT_TRUE(source_.stream(stream).Begin("b"));
    ASSERT_TRUE(reader->ok());
  }
  bool Stopped(size_t stream) const { return source_.stream(stream).stop.stop_requested(); }
  void LackSpace() { cache_.FailBegin(Error{Errc::kNoSpace, "the cache is full of promises"}); }
};

TEST_F(QueueTest, IdleDownloadGivesItsPlaceToOneThatIsWaitedFor) {
  ReadTheFirst(Target(9, 27, "1"), 0);
  Pass(10);
  ReadTheFirst(Target(9, 27, "2"), 1);
  const auto queued = Read(Target(1, 3, "3"), "c");
  Pass(options_.linger_ms - 11);
  EXPECT_FALSE(Stopped(0));
  Pass(kIdleCheckMsMin);
  EXPECT_TRUE(Stopped(0));
  EXPECT_FALSE(Stopped(1));  // one place is wanted
  EXPECT_EQ(source_.streams(), 2u);
  Break(source_.stream(0), Errc::kCancelled);
  ASSERT_EQ(source_.streams(), 3u);
  ASSERT_TRUE(source_.stream(2).Send("c", "ccc"));
  End(source_.stream(2));
  EXPECT_TRUE(queued->ok());
  Pass(options_.linger_ms * 3);
  EXPECT_FALSE(Stopped(1));  // nobody is queued any more
  const auto first = Target(9, 27, "1");
  EXPECT_EQ(cache_.Text(Key(first), SopUid("a")), "aaa");
  EXPECT_FALSE(cache_.Verified(Key(first), first.record.version));
  EXPECT_EQ(fetcher_->LastError(Key(first), SopUid()), "");
  EXPECT_EQ(Read(first, "b")->calls, 0);
  EXPECT_EQ(source_.streams(), 4u);
}

TEST_F(QueueTest, DownloadsThatAreWaitedForKeepTheirPlaces) {
  const auto b = Read(Target(9, 27, "1"), "b");
  const auto c = Read(Target(9, 27, "2"), "b");
  Read(Target(1, 3, "3"), "c");
  Pass(options_.linger_ms * 10);
  EXPECT_FALSE(Stopped(0) || Stopped(1));
  EXPECT_EQ(b->calls + c->calls, 0);
}

TEST_F(QueueTest, ReadsFromTheCacheKeepTheDownloadsPlace) {
  ReadTheFirst(Target(9, 27, "1"), 0);
  ReadTheFirst(Target(9, 27, "2"), 1);
  Read(Target(1, 3, "3"), "c");
  for (int i = 0; i < 10; ++i) {
    Pass(options_.linger_ms / 2);
    EXPECT_TRUE(Read(Target(9, 27, "1"), "a")->ok());
  }
  EXPECT_FALSE(Stopped(0));
  EXPECT_TRUE(Stopped(1));
}

TEST_F(QueueTest, SpaceThatAnotherDownloadHoldsIsWaitedFor) {
  capped_.set_cap_bytes(100);
  Read(Target(9, 60, "1"), "b");
  LackSpace();
  const auto big = Read(Target(1, 60, "2"), "a");
  EXPECT_EQ(big->calls, 0);
  for (const auto& status : fetcher_->Downloads())
    EXPECT_EQ(status.started, status.record.series.text() == "1");
  cache_.FailBegin(std::nullopt);
  Read(Target(1, 3, "3"), "c");  // a small one may pass
  ASSERT_EQ(source_.streams(), 2u);
  EXPECT_EQ(source_.stream(1).query.series.text(), "3");
  ASSERT_TRUE(source_.stream(1).Send("c", "ccc"));
  LackSpace();
  End(source_.stream(1));  // tried again, in vain
  EXPECT_EQ(big->calls, 0);
  cache_.FailBegin(std::nullopt);
  Break(source_.stream(0), Errc::kPermission);
  ASSERT_EQ(source_.streams(), 3u);
  ASSERT_TRUE(source_.stream(2).Send("a", std::string(60, 'a')));
  End(source_.stream(2));
  EXPECT_TRUE(big->ok());
}

TEST_F(QueueTest, SpaceHeldForAnotherServerIsWaitedForToo) {
  capped_.set_cap_bytes(100);
  auto elsewhere = Target(9, 60, "1");
  elsewhere.server = 1;
  Read(elsewhere, "b");
  LackSpace();
  const auto big = Read(Target(1, 60, "2"), "a");
  EXPECT_EQ(big->calls, 0);
  cache_.FailBegin(std::nullopt);
  Break(other_.stream(0), Errc::kPermission);
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(QueueTest, IdleDownloadGivesItsSpaceUp) {
  capped_.set_cap_bytes(100);
  ReadTheFirst(Target(9, 60, "1"), 0);
  LackSpace();
  const auto big = Read(Target(1, 60, "2"), "a");
  Pass(options_.linger_ms + kIdleCheckMsMin);
  EXPECT_TRUE(Stopped(0));
  cache_.FailBegin(std::nullopt);
  Break(source_.stream(0), Errc::kCancelled);
  EXPECT_EQ(source_.streams(), 2u);
  EXPECT_EQ(big->calls, 0);
}

TEST_F(QueueTest, LackOfSpaceFailsWhenNothingElseRuns) {
  capped_.set_cap_bytes(100);
  Read(Target(9, 60, "1"), "b");
  LackSpace();
  const auto big = Read(Target(1, 60, "2"), "a");
  EXPECT_EQ(big->calls, 0);
  Break(source_.stream(0), Errc::kPermission);
  ASSERT_TRUE(big->failed(Errc::kNoSpace));
  EXPECT_EQ(big->result.error().message, "the cache is full of promises");
  EXPECT_TRUE(fetcher_->Downloads().empty());
}

TEST_F(QueueTest, SeriesThatCouldNotFitAloneFailsAtOnce) {
  capped_.set_cap_bytes(100);
  Read(Target(9, 60, "1"), "b");
  LackSpace();
  EXPECT_TRUE(Read(Target(1, 100, "2"), "a")->failed(Errc::kNoSpace));
  EXPECT_TRUE(Read(Target(1, -1, "3"), "a")->failed(Errc::kNoSpace));
}

TEST_F(QueueTest, WaitForSpaceCanBeCancelled) {
  capped_.set_cap_bytes(100);
  Read(Target(9, 60, "1"), "b");
  LackSpace();
  const auto big = Read(Target(1, 60, "2"), "a");
  big->stop.request_stop();
  EXPECT_TRUE(big->failed(Errc::kCancelled));
  Pass(options_.linger_ms);
  EXPECT_EQ(fetcher_->Downloads().size(), 1u);
  const auto another = Read(Target(1, 60, "4"), "a");
  EXPECT_EQ(another->calls, 0);
  fetcher_->Shutdown();
  EXPECT_TRUE(another->failed(Errc::kCancelled));
}

}  // namespace
}  // namespace tciafs::fetch
