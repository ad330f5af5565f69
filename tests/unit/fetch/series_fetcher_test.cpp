// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/fetch/series_fetcher.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/fetch/limits.h"
#include "unit/fetch/fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;
using testing::Answer;
using testing::AnswerPtr;
using testing::Md5Of;

class SeriesFetcherTest : public testing::FetcherFixture {};

TEST_F(SeriesFetcherTest, CachedInstanceIsAnsweredAtOnce) {
  const auto target = Target();
  cache_.Put(Key(target), target.record.version, SopUid("a"), "bytes");
  EXPECT_TRUE(Read(target, "a")->ok());
  EXPECT_EQ(source_.streams(), 0u);
}

TEST_F(SeriesFetcherTest, ManyReadersShareOneStream) {
  const auto target = Target(2, 6);
  std::vector<AnswerPtr> answers;
  for (int i = 0; i < 50; ++i) answers.push_back(Read(target, i % 2 == 0 ? "a" : "b"));
  ASSERT_EQ(source_.streams(), 1u);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  End(source_.stream(0));
  for (const auto& answer : answers) EXPECT_TRUE(answer->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
  EXPECT_TRUE(fetcher_->Downloads().empty());
  EXPECT_TRUE(Read(target, "a")->ok());
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(SeriesFetcherTest, InstanceIsReadableBeforeTheNextHasArrived) {
  const auto target = Target(3, 9);
  const auto a = Read(target, "a");
  const auto c = Read(target, "c");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  EXPECT_TRUE(a->ok());
  EXPECT_EQ(c->calls, 0);
  const auto statuses = fetcher_->Downloads();
  ASSERT_EQ(statuses.size(), 1u);
  EXPECT_TRUE(statuses[0].started);
  EXPECT_EQ(statuses[0].server, "main");
  EXPECT_EQ(statuses[0].bytes_received, 3);
  EXPECT_EQ(statuses[0].bytes_expected, 9);
  EXPECT_EQ(statuses[0].instances_published, 1);
  EXPECT_EQ(statuses[0].waiters, 1u);
}

TEST_F(SeriesFetcherTest, ArrivedInstanceIsNotHeldBackForLong) {
  const auto target = Target(3, 9);
  const auto a = Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  EXPECT_EQ(a->calls, 0);
  Pass(kHoldMs);
  EXPECT_TRUE(a->ok());
}

TEST_F(SeriesFetcherTest, InstanceWithItsAnnouncedMd5IsNotHeldBack) {
  const auto target = Target(3, 9);
  const auto a = Read(target, "a");
  source_.stream(0).Expect("a", Md5Of("aaa"));
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  EXPECT_TRUE(a->ok());
}

TEST_F(SeriesFetcherTest, LastEntryOfAShortStreamIsNotBelieved) {
  const auto target = Target(3, 9);
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "b"));  // cut short, as the server gave up
  End(source_.stream(0));
  EXPECT_EQ(b->calls, 0);
  ASSERT_EQ(source_.singles(), 1u);
  ASSERT_TRUE(source_.single(0).Send("b", "bbb"));
  End(source_.single(0));
  ASSERT_TRUE(b->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
}

TEST_F(SeriesFetcherTest, EarlyPublishedLastEntryOfAShortStreamIsWithdrawn) {
  const auto target = Target(3, 9);
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "b"));
  Pass(kHoldMs);
  ASSERT_TRUE(b->ok());
  End(source_.stream(0));
  EXPECT_EQ((*b->result)->Read(0, 1).error().code, Errc::kCorrupt);
  ASSERT_EQ(source_.singles(), 1u);
  ASSERT_TRUE(source_.single(0).Send("b", "bbb"));
  End(source_.single(0));
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
}

TEST_F(SeriesFetcherTest, CancellingOneOfTwoWaitersLeavesTheOther) {
  const auto target = Target(1, 3);
  const auto first = Read(target, "a");
  const auto second = Read(target, "a");
  first->stop.request_stop();
  EXPECT_TRUE(first->failed(Errc::kCancelled));
  Pass(options_.linger_ms * 2);
  EXPECT_FALSE(source_.stream(0).stop.stop_requested());
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  EXPECT_TRUE(second->ok());
  EXPECT_EQ(first->calls, 1);
  End(source_.stream(0));
}

TEST_F(SeriesFetcherTest, StopRequestedBeforeAcquireCancels) {
  auto answer = std::make_shared<Answer>();
  answer->stop.request_stop();
  fetcher_->Acquire(Target(), SopUid("a"), answer->stop.get_token(),
                    [answer](auto result) { answer->result = (++answer->calls, result); });
  EXPECT_TRUE(answer->failed(Errc::kCancelled));
  EXPECT_EQ(source_.streams(), 0u);
}

TEST_F(SeriesFetcherTest, AbandonedDownloadLingersThenEnds) {
  const auto target = Target(4, 12);
  const auto reader = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  reader->stop.request_stop();
  Pass(options_.linger_ms - 1);
  EXPECT_FALSE(source_.stream(0).stop.stop_requested());
  Pass(1);
  EXPECT_TRUE(source_.stream(0).stop.stop_requested());
  Break(source_.stream(0), Errc::kCancelled);
  EXPECT_TRUE(fetcher_->Downloads().empty());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "aaa");  // what was published stays
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "");
  EXPECT_EQ(Read(target, "b")->calls, 0);  // not a failure to remember
  EXPECT_EQ(source_.streams(), 2u);
}

TEST_F(SeriesFetcherTest, InterestWhileLingeringKeepsTheDownload) {
  const auto target = Target(3, 9);
  const auto reader = Read(target, "c");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  reader->stop.request_stop();
  EXPECT_TRUE(Read(target, "a")->ok());  // from the cache
  Pass(options_.linger_ms * 2);
  EXPECT_FALSE(source_.stream(0).stop.stop_requested());
}

TEST_F(SeriesFetcherTest, SatisfiedDownloadGoesOnToItsEnd) {
  const auto target = Target(2, 6);
  const auto reader = Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  ASSERT_TRUE(reader->ok());
  Pass(options_.linger_ms * 10);
  EXPECT_FALSE(source_.stream(0).stop.stop_requested());
}

TEST_F(SeriesFetcherTest, AcquireWhileACancelledStreamEndsStartsAnother) {
  const auto target = Target(1, 3);
  Read(target, "a")->stop.request_stop();
  Pass(options_.linger_ms);
  const auto second = Read(target, "a");
  EXPECT_EQ(source_.streams(), 1u);  // the cache takes one writer per series
  Break(source_.stream(0), Errc::kCancelled);
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  EXPECT_TRUE(second->ok());
  End(source_.stream(1));
}

TEST_F(SeriesFetcherTest, ShortStreamIsHealedBySingleImages) {
  const auto target = Target(4, 12);
  const auto b = Read(target, "b");
  const auto c = Read(target, "c");
  const auto d = Read(target, "d");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("x", "xxx"));
  End(source_.stream(0));
  ASSERT_EQ(source_.singles(), kSinglesAtOnce);  // three are wanted
  for (size_t i = 0; i < 3; ++i) {
    const auto sop = source_.single(i).single->text();
    ASSERT_TRUE(source_.single(i).Send(sop, sop + sop + sop));
    End(source_.single(i));
  }
  EXPECT_TRUE(b->ok() && c->ok() && d->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("c")), "ccc");
  EXPECT_EQ(source_.streams(), 1u);
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
}

TEST_F(SeriesFetcherTest, ThenBySeriesThenOnlyTheMissingFail) {
  const auto target = Target(3, 9);
  const auto a = Read(target, "a");
  const auto b = Read(target, "b");
  const auto c = Read(target, "c");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("x"));
  EXPECT_TRUE(a->ok());
  Break(source_.stream(0), Errc::kUnavailable);
  Pass(2 * kRetryFirstMs);
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  End(source_.stream(1));
  ASSERT_EQ(source_.singles(), 2u);
  Break(source_.single(0), Errc::kNotFound, "no such image");
  Break(source_.single(1), Errc::kNotFound, "no such image");
  ASSERT_EQ(source_.streams(), 3u);
  ASSERT_TRUE(source_.stream(2).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(2).Send("b", "bbb"));
  ASSERT_TRUE(source_.stream(2).Send("x", "xxx"));
  End(source_.stream(2));
  EXPECT_TRUE(b->ok());
  ASSERT_TRUE(c->failed(Errc::kUnavailable));
  EXPECT_NE(c->result.error().message.find("did not deliver"), std::string::npos);
  EXPECT_NE(fetcher_->LastError(Key(target), SopUid("c")).find("no such image"), std::string::npos);
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid("b")), "");
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "");
  EXPECT_TRUE(Read(target, "a")->ok());
}

TEST_F(SeriesFetcherTest, InstanceUnknownToACompleteSeriesCostsNoSecondStream) {
  const auto target = Target(1, 3);
  const auto ghost = Read(target, "ghost");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  End(source_.stream(0));
  Break(source_.single(0), Errc::kNotFound);
  EXPECT_TRUE(ghost->failed(Errc::kUnavailable));
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(SeriesFetcherTest, SingleImagesAreBounded) {
  const auto target = Target();
  std::vector<AnswerPtr> answers;
  for (size_t i = 0; i < kSinglesMax + 5; ++i)
    answers.push_back(Read(target, "s" + std::to_string(i)));
  End(source_.stream(0));
  for (size_t i = 0; i < source_.singles(); ++i) Break(source_.single(i), Errc::kNotFound);
  EXPECT_EQ(source_.singles(), kSinglesMax);
  End(source_.stream(1));
  EXPECT_EQ(source_.singles(), kSinglesMax);
  EXPECT_EQ(source_.streams(), 2u);
  for (const auto& answer : answers) EXPECT_TRUE(answer->failed(Errc::kUnavailable));
}

TEST_F(SeriesFetcherTest, WrongMd5AnnouncedLateIsWithdrawnAndFetchedAgain) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  const auto& stream = source_.stream(0);
  ASSERT_TRUE(stream.Send("a", "xxx"));
  ASSERT_TRUE(stream.Send("b", "bbb"));
  ASSERT_TRUE(a->ok());
  stream.Expect("a", Md5Of("aaa"));
  stream.Expect("b", Md5Of("bbb"));
  End(stream);
  EXPECT_EQ((*a->result)->Read(0, 3).error().code, Errc::kCorrupt);
  EXPECT_FALSE(cache_.Verified(Key(target), target.record.version));
  ASSERT_EQ(source_.singles(), 1u);
  ASSERT_TRUE(source_.single(0).Send("a", "aaa"));
  End(source_.single(0));
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "aaa");
}

TEST_F(SeriesFetcherTest, WrongMd5ThroughoutFailsThatInstanceAlone) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  const auto b = Read(target, "b");
  for (size_t i = 0; i < 2; ++i) {
    const auto& stream = source_.stream(i);
    stream.Expect("a", Md5Of("aaa"));
    stream.Expect("b", Md5Of("bbb"));
    ASSERT_TRUE(stream.Send("a", "xxx"));
    ASSERT_TRUE(stream.Send("b", "bbb"));
    End(stream);
    if (i > 0) break;
    EXPECT_FALSE(source_.single(0).SendWithoutSum("a", "yyy"));
    Break(source_.single(0), Errc::kCorrupt, "MD5");
  }
  EXPECT_TRUE(a->failed(Errc::kUnavailable));
  EXPECT_TRUE(b->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "");
  EXPECT_FALSE(cache_.Verified(Key(target), target.record.version));
}

TEST_F(SeriesFetcherTest, SumThatDoesNotAddUpIsConfirmedByASecondStream) {
  const auto target = Target(2, 100);
  const auto a = Read(target, "a");
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(source_.streams(), i + 1);
    ASSERT_TRUE(source_.stream(i).Send("a", "aaa"));
    ASSERT_TRUE(source_.stream(i).Send("b", "bbb"));
    End(source_.stream(i));
    // The last one, which may have been cut short, by its single image.
    ASSERT_EQ(source_.singles(), 1u);
    if (i == 0) {
      ASSERT_TRUE(source_.single(0).Send("b", "bbb"));
      End(source_.single(0));
    }
  }
  EXPECT_TRUE(a->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
  EXPECT_FALSE(cache_.Verified(Key(target), target.record.version));
  EXPECT_TRUE(fetcher_->Downloads().empty());
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "");
}

TEST_F(SeriesFetcherTest, LastInstanceCutShortEachTimeIsNotBelieved) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_EQ(source_.streams(), i + 1);
    ASSERT_TRUE(source_.stream(i).Send("a", "aaa"));
    ASSERT_TRUE(source_.stream(i).Send("b", "b"));
    End(source_.stream(i));
    if (i == 0) Break(source_.single(0), Errc::kNotFound, "the file cannot be read");
  }
  EXPECT_TRUE(b->failed(Errc::kUnavailable));
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "aaa");
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "");
}

TEST_F(SeriesFetcherTest, InstanceThatComesTwiceWithOtherBytesIsFetchedSingly) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("a", "AAA"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  End(source_.stream(0));
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "") << "which of the two?";
  ASSERT_EQ(source_.singles(), 1u);
  ASSERT_TRUE(source_.single(0).Send("a", "AAA"));
  End(source_.single(0));
  EXPECT_TRUE(b->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "AAA");
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
}

TEST_F(SeriesFetcherTest, InstanceThatComesTwiceAlikeIsKept) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  for (const char* sop : {"a", "a"}) ASSERT_TRUE(source_.stream(0).Send(sop, "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  End(source_.stream(0));
  EXPECT_TRUE(b->ok());
  EXPECT_EQ(source_.singles(), 0u);
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
}

TEST_F(SeriesFetcherTest, SumConfirmedByMd5SumsNeedsNoSecondStream) {
  const auto target = Target(2, 100);
  const auto a = Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  source_.stream(0).Expect("a", Md5Of("aaa"));
  source_.stream(0).Expect("b", Md5Of("bbb"));
  End(source_.stream(0));
  EXPECT_TRUE(a->ok());
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
  EXPECT_EQ(source_.streams(), 1u);
  EXPECT_TRUE(fetcher_->Downloads().empty());
}

TEST_F(SeriesFetcherTest, InstanceOfAnotherSizeEachTimeIsNotKept) {
  const auto target = Target(2, 100);
  Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "a"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  End(source_.stream(0));
  ASSERT_TRUE(source_.single(0).Send("b", "bbb"));
  End(source_.single(0));
  ASSERT_TRUE(source_.stream(1).Send("a", "aa"));
  ASSERT_TRUE(source_.stream(1).Send("b", "bbb"));
  End(source_.stream(1));
  ASSERT_EQ(source_.singles(), 2u);
  EXPECT_FALSE(source_.single(1).SendWithoutSum("a", "aaa"));
  Break(source_.single(1), Errc::kCorrupt, "sizes");
  EXPECT_EQ(cache_.Text(Key(target), SopUid("a")), "");
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
  EXPECT_NE(fetcher_->LastError(Key(target), SopUid("a")), "");
}

TEST_F(SeriesFetcherTest, BrokenStreamIsTriedAgain) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  Break(source_.stream(0), Errc::kUnavailable, "reset");
  EXPECT_TRUE(a->ok());
  EXPECT_EQ(source_.streams(), 1u);
  Pass(kRetryFirstMs / 2);
  EXPECT_EQ(source_.streams(), 1u);
  Pass(kRetryFirstMs);
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(1).Send("b", "bbb"));
  End(source_.stream(1));
  EXPECT_TRUE(b->ok());
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
}

TEST_F(SeriesFetcherTest, DeadArchiveFailsAfterItsRetriesAndIsRemembered) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  for (int i = 0; i <= kStreamRetriesMax; ++i) {
    ASSERT_EQ(source_.streams(), static_cast<size_t>(i) + 1);
    Break(source_.stream(static_cast<size_t>(i)), Errc::kUnavailable, "HTTP 503");
    Pass(10 * kRetryFirstMs);
  }
  EXPECT_TRUE(a->failed(Errc::kUnavailable));
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "HTTP 503");
  fetcher_.reset();
}

TEST_F(SeriesFetcherTest, ArchiveThatPutsUsOffForTooLongIsNotAskedAgain) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  clock_.Advance(FetchOptions().stall_ms);
  Break(source_.stream(0), Errc::kThrottled, "HTTP 429");
  EXPECT_TRUE(a->failed(Errc::kThrottled));
  Pass(10 * kRetryFirstMs);
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(SeriesFetcherTest, WhatAStreamBroughtIsProgressHoweverLateItBreaks) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  clock_.Advance(FetchOptions().stall_ms);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  Break(source_.stream(0), Errc::kUnavailable, "reset");
  Pass(2 * kRetryFirstMs);
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(1).Send("b", "bbb"));
  End(source_.stream(1));
  EXPECT_TRUE(b->ok());
}

TEST_F(SeriesFetcherTest, FailureIsAnsweredFromMemoryForAWhile) {
  const auto target = Target(2, 6);
  Read(target, "a");
  Break(source_.stream(0), Errc::kPermission, "not yours");
  for (int i = 0; i < 500; ++i)
    ASSERT_TRUE(Read(target, std::to_string(i))->failed(Errc::kPermission));
  EXPECT_EQ(source_.streams(), 1u);
  Pass(options_.failure_memory_ms);
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "not yours");  // until a success
  const auto again = Read(target, "a");
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(1).Send("b", "bbb"));
  End(source_.stream(1));
  EXPECT_TRUE(again->ok());
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid()), "");
}

TEST_F(SeriesFetcherTest, TimeOutIsAnsweredAtOnceAndHardlyRemembered) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  Break(source_.stream(0), Errc::kTimedOut, "no progress");
  EXPECT_TRUE(a->ok());
  EXPECT_TRUE(b->failed(Errc::kTimedOut));
  EXPECT_TRUE(Read(target, "b")->failed(Errc::kTimedOut));
  Pass(kTimeOutMemoryMs);
  EXPECT_EQ(Read(target, "b")->calls, 0);
}

TEST_F(SeriesFetcherTest, ReservationThatDoesNotFitFailsBeforeAByte) {
  cache_.FailBegin(Error{Errc::kNoSpace, "the series is larger than the cache"});
  const auto answer = Read(Target(2, 6), "a");
  ASSERT_TRUE(answer->failed(Errc::kNoSpace));
  EXPECT_EQ(answer->result.error().message, "the series is larger than the cache");
  EXPECT_EQ(source_.streams(), 0u);
}

TEST_F(SeriesFetcherTest, FullCacheEndsTheStreamForThoseNotServed) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  const auto b = Read(target, "b");
  cache_.SpaceLeft(4);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  const auto status = source_.stream(0).Send("b", "bbb");
  ASSERT_FALSE(status);
  Break(source_.stream(0), status.error().code, status.error().message);
  EXPECT_TRUE(a->ok());
  EXPECT_TRUE(b->failed(Errc::kNoSpace));
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(SeriesFetcherTest, BusySeriesIsWaitedForAndServedFromTheCache) {
  const auto target = Target(2, 6);
  cache_.BusyTimes(2);
  const auto a = Read(target, "a");
  Pass(kBusyRetryMs);
  EXPECT_EQ(source_.streams(), 0u);
  cache_.Put(Key(target), target.record.version, SopUid("a"), "aaa");  // an import
  Pass(kBusyRetryMs);
  EXPECT_TRUE(a->ok());
  EXPECT_EQ(source_.streams(), 0u);
  EXPECT_TRUE(fetcher_->Downloads().empty());
}

TEST_F(SeriesFetcherTest, SeriesBusyForeverFails) {
  cache_.BusyTimes(1'000'000);
  const auto a = Read(Target(2, 6), "a");
  for (int i = 0; i < kBusyRetriesMax; ++i) Pass(kBusyRetryMs);
  EXPECT_TRUE(a->failed(Errc::kBusy));
}

TEST_F(SeriesFetcherTest, DownloadsQueueInOrderPerServer) {
  const auto a = Read(Target(1, 3, "1"), "a");
  const auto b = Read(Target(1, 3, "2"), "b");
  const auto c = Read(Target(1, 3, "3"), "c");
  EXPECT_EQ(source_.streams(), 2u);
  EXPECT_EQ(cache_.begun(), 2);  // no space is reserved while queued
  auto elsewhere = Target(1, 3, "4");
  elsewhere.server = 1;
  Read(elsewhere, "d");
  EXPECT_EQ(other_.streams(), 1u);
  size_t queued = 0;
  for (const auto& status : fetcher_->Downloads()) queued += status.started ? 0 : 1;
  EXPECT_EQ(queued, 1u);
  ASSERT_TRUE(source_.stream(1).Send("b", "bbb"));
  End(source_.stream(1));
  ASSERT_EQ(source_.streams(), 3u);
  EXPECT_EQ(source_.stream(2).query.series.text(), "3");
  EXPECT_TRUE(b->ok());
  EXPECT_EQ(a->calls + c->calls, 0);
}

TEST_F(SeriesFetcherTest, QueuedDownloadNobodyWaitsForIsNeverStarted) {
  Read(Target(1, 3, "1"), "a");
  Read(Target(1, 3, "2"), "b");
  Read(Target(1, 3, "3"), "c")->stop.request_stop();
  Pass(options_.linger_ms);
  EXPECT_EQ(fetcher_->Downloads().size(), 2u);
  End(source_.stream(0));
  EXPECT_EQ(source_.streams(), 2u);
}

TEST_F(SeriesFetcherTest, NewerVersionEndsTheOlderDownload) {
  const auto older = Target(2, 6);
  auto newer = Target(3, 9);
  newer.record.version.timestamp = "2021-01-01";
  const auto before = Read(older, "a");
  const auto after = Read(newer, "a");
  EXPECT_TRUE(before->failed(Errc::kStale));
  EXPECT_TRUE(source_.stream(0).stop.stop_requested());
  EXPECT_EQ(source_.streams(), 1u);
  EXPECT_TRUE(Read(older, "a")->failed(Errc::kStale));  // a late asker
  Break(source_.stream(0), Errc::kCancelled);
  ASSERT_EQ(source_.streams(), 2u);
  ASSERT_TRUE(source_.stream(1).Send("a", "new"));
  ASSERT_TRUE(source_.stream(1).Begin("b"));
  EXPECT_TRUE(after->ok());
}

TEST_F(SeriesFetcherTest, RunawayStreamIsAborted) {
  const auto target = Target(1, 1000);
  const auto a = Read(target, "a");
  const auto& stream = source_.stream(0);
  ASSERT_TRUE(stream.Begin("a"));
  const std::string piece(size_t{1} << 20, 'x');
  Status status;
  int64_t sent = 0;
  while (status && sent < (int64_t{200} << 20)) {
    status = stream.sink->Data(AsBytes(piece));
    sent += static_cast<int64_t>(piece.size());
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kCorrupt);
  EXPECT_LE(sent, 1500 + kExcessBytesMax + static_cast<int64_t>(piece.size()));
  Break(stream, status.error().code, status.error().message);
  Pass(10 * kRetryFirstMs);
  EXPECT_EQ(source_.streams(), 1u) << "another stream would do the same";
  ASSERT_EQ(source_.singles(), 1u) << "but the image alone may be well";
  ASSERT_TRUE(source_.single(0).Send("a", "aaa"));
  End(source_.single(0));
  EXPECT_TRUE(a->ok());
}

TEST_F(SeriesFetcherTest, ZipDamagedEachTimeIsHealedBySingleImages) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  for (int i = 0; i <= kStreamRetriesMax; ++i) {
    ASSERT_EQ(source_.streams(), static_cast<size_t>(i) + 1);
    ASSERT_TRUE(source_.stream(static_cast<size_t>(i)).Begin("a"));
    Break(source_.stream(static_cast<size_t>(i)), Errc::kCorrupt, "damaged compressed data");
    Pass(10 * kRetryFirstMs);
  }
  ASSERT_EQ(source_.singles(), 1u);
  ASSERT_TRUE(source_.single(0).Send("b", "bbb"));
  End(source_.single(0));
  EXPECT_TRUE(b->ok());
}

TEST_F(SeriesFetcherTest, StreamOfTooManyInstancesIsAborted) {
  Read(Target(1, -1), "a");
  const auto& stream = source_.stream(0);
  const int64_t allowed = 2 + kExcessInstancesMax;
  for (int64_t i = 0; i < allowed; ++i) ASSERT_TRUE(stream.Send("s" + std::to_string(i), ""));
  EXPECT_EQ(stream.Begin("more").error().code, Errc::kCorrupt);
}

TEST_F(SeriesFetcherTest, SmallGapIsFilledWithoutTheWholeSeries) {
  const auto target = Target(20, 60);
  for (int i = 0; i < 19; ++i)
    cache_.Put(Key(target), target.record.version, SopUid("s" + std::to_string(i)), "sss");
  const auto gap = Read(target, "gap");
  EXPECT_EQ(source_.streams(), 0u);
  ASSERT_EQ(source_.singles(), 1u);
  ASSERT_TRUE(source_.single(0).Send("gap", "ggg"));
  End(source_.single(0));
  EXPECT_TRUE(gap->ok());
  EXPECT_TRUE(cache_.Verified(Key(target), target.record.version));
  EXPECT_EQ(source_.streams(), 0u);
}

TEST_F(SeriesFetcherTest, SingleImageOfAnotherInstanceIsRefused) {
  const auto target = Target(2, 6);
  const auto b = Read(target, "b");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  End(source_.stream(0));
  EXPECT_EQ(source_.single(0).Send("c", "ccc").error().code, Errc::kCorrupt);
  Break(source_.single(0), Errc::kCorrupt, "another");
  End(source_.stream(1));
  EXPECT_TRUE(b->failed(Errc::kUnavailable));
  EXPECT_EQ(cache_.Text(Key(target), SopUid("c")), "");
}

TEST_F(SeriesFetcherTest, OfflineSingleImageEndsHealing) {
  const auto target = Target(5, 15);
  const auto b = Read(target, "b");
  const auto c = Read(target, "c");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  End(source_.stream(0));
  Break(source_.single(0), Errc::kOffline, "offline");
  EXPECT_EQ(b->calls + c->calls, 0);  // one is still under way
  Break(source_.single(1), Errc::kOffline, "offline");
  EXPECT_TRUE(b->failed(Errc::kOffline));
  EXPECT_TRUE(c->failed(Errc::kOffline));
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(SeriesFetcherTest, EmptyInstanceNameMeansWhicheverComesFirst) {
  const auto target = Target(2, 6);
  const auto any = Read(target, "");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  EXPECT_TRUE(any->ok());
  EXPECT_TRUE(Read(target, "")->ok());
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(SeriesFetcherTest, WaitersAreBounded) {
  options_.waiters_max = 2;
  Make();
  const auto target = Target();
  const auto first = Read(target, "a");
  Read(target, "b");
  EXPECT_TRUE(Read(target, "c")->failed(Errc::kUnavailable));
  first->stop.request_stop();
  EXPECT_EQ(Read(target, "c")->calls, 0);
}

TEST_F(SeriesFetcherTest, ManyWaitersTakeLittleMemory) {
  constexpr int kReaders = 10'000;
  const auto target = Target(kReaders, kReaders);
  std::vector<AnswerPtr> readers = {Read(target, "1.0")};
  readers.reserve(kReaders);
  const size_t before_bytes = ::mallinfo2().uordblks;
  for (int i = 1; i < kReaders; ++i) readers.push_back(Read(target, "1." + std::to_string(i)));
  const size_t after_bytes = ::mallinfo2().uordblks;
  EXPECT_LT(after_bytes, before_bytes + size_t{kReaders} * 2048);
  EXPECT_EQ(source_.streams(), 1u);
  fetcher_->Shutdown();
  for (const auto& reader : readers) EXPECT_TRUE(reader->failed(Errc::kCancelled));
}

TEST_F(SeriesFetcherTest, ShutdownCancelsEverybodyAndLetsGoOfTheCache) {
  const auto target = Target(2, 6);
  const auto a = Read(target, "a");
  const auto queued = Read(Target(1, 1, "2"), "a");
  const auto cached = Target(1, 1, "9");
  cache_.Put(Key(cached), cached.record.version, SopUid("z"), "z");
  const auto call = source_.stream(0);
  ASSERT_TRUE(call.Begin("a"));
  fetcher_->Shutdown();
  EXPECT_TRUE(a->failed(Errc::kCancelled));
  EXPECT_TRUE(queued->failed(Errc::kCancelled));
  EXPECT_TRUE(call.stop.stop_requested());
  EXPECT_EQ(cache_.open_writers(), 0);
  EXPECT_EQ(call.sink->Data(AsBytes("late")).error().code, Errc::kCancelled);
  Break(call, Errc::kCancelled);
  EXPECT_TRUE(Read(target, "b")->failed(Errc::kCancelled));
  EXPECT_TRUE(Read(cached, "z")->ok());  // the cache still answers
  a->stop.request_stop();
  EXPECT_EQ(a->calls, 1);
  fetcher_->Shutdown();
}

TEST_F(SeriesFetcherTest, CallbackMayAcquireAgain) {
  const auto target = Target(2, 6);
  AnswerPtr second;
  auto first = std::make_shared<Answer>();
  fetcher_->Acquire(target, SopUid("a"), {}, [&](auto result) {
    ++first->calls;
    first->result = std::move(result);
    second = std::make_shared<Answer>();
    fetcher_->Acquire(target, SopUid("a"), {}, [second](auto again) {
      ++second->calls;
      second->result = std::move(again);
    });
  });
  executor_.RunAll();
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Begin("b"));
  EXPECT_TRUE(first->ok());
  ASSERT_TRUE(second);
  EXPECT_TRUE(second->ok());
}

}  // namespace
}  // namespace tciafs::fetch
