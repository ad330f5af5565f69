// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Who wants a series as a whole: the download they share with readers goes to its end for them, and
// makes up for what no reader has asked for.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tciafs/fetch/limits.h"
#include "unit/fetch/fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;

struct WholeAnswer {
  int calls = 0;
  Result<SeriesOutcome> result;
  std::stop_source stop;
  bool verified() const { return calls == 1 && result.has_value() && result->verified; }
  bool failed(Errc code) const {
    return calls == 1 && !result.has_value() && result.error().code == code;
  }
};

class WholeSeriesTest : public testing::FetcherFixture {
 protected:
  std::shared_ptr<WholeAnswer> Want(const SeriesTarget& target) {
    auto answer = std::make_shared<WholeAnswer>();
    fetcher_->AcquireSeries(target, answer->stop.get_token(), [answer](auto result) {
      ++answer->calls;
      answer->result = std::move(result);
    });
    executor_.RunAll();
    return answer;
  }
  // With their MD5 sums, so that the last is believed whatever follows it.
  void SendAll(size_t stream, const std::vector<std::string>& sops) {
    ASSERT_GT(source_.streams(), stream);
    for (const auto& sop : sops) {
      source_.stream(stream).Expect(sop, testing::Md5Of(sop + sop + sop));
      ASSERT_TRUE(source_.stream(stream).Send(sop, sop + sop + sop));
    }
    End(source_.stream(stream));
  }
  void SendSingle(size_t single, const std::string& sop) {
    ASSERT_GT(source_.singles(), single);
    ASSERT_EQ(source_.single(single).single, SopUid(sop));
    ASSERT_TRUE(source_.single(single).Send(sop, sop + sop + sop));
    End(source_.single(single));
  }
  bool Verified(const SeriesTarget& target) const {
    return cache_.Verified(Key(target), target.record.version);
  }
};

TEST_F(WholeSeriesTest, IsDoneWhenTheSeriesIsVerified) {
  const auto target = Target(3, 9);
  const auto whole = Want(target);
  const auto reader = Read(target, "b");
  ASSERT_EQ(source_.streams(), 1u);
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  ASSERT_TRUE(source_.stream(0).Send("c", "ccc"));
  executor_.RunAll();
  EXPECT_TRUE(reader->ok());
  EXPECT_EQ(whole->calls, 0);
  End(source_.stream(0));
  ASSERT_TRUE(whole->verified());
  EXPECT_EQ(whole->result->instances, 3);
  EXPECT_EQ(whole->result->size_bytes, 9);
  EXPECT_EQ(source_.listings(), 0);

  const auto again = Want(target);
  ASSERT_TRUE(again->verified());
  EXPECT_EQ(again->result->instances, 3);
  EXPECT_EQ(again->result->size_bytes, 9);
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(WholeSeriesTest, SharesTheDownloadThatIsUnderWay) {
  const auto target = Target(2, 6);
  const auto reader = Read(target, "a");
  const auto one = Want(target);
  const auto other = Want(target);
  SendAll(0, {"a", "b"});
  EXPECT_TRUE(reader->ok());
  EXPECT_TRUE(one->verified());
  EXPECT_TRUE(other->verified());
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(WholeSeriesTest, KeepsItsDownloadFromEndingEarly) {
  options_.downloads_max = 1;
  Make();
  const auto target = Target(2, 6);
  const auto whole = Want(target);
  const auto queued = Read(Target(1, 3, "9"), "z");
  Pass(options_.linger_ms * 10);
  ASSERT_FALSE(source_.stream(0).stop.stop_requested());
  SendAll(0, {"a", "b"});
  EXPECT_TRUE(whole->verified());
  EXPECT_EQ(queued->calls, 0);
  EXPECT_EQ(source_.streams(), 2u);
}

TEST_F(WholeSeriesTest, LetsItsDownloadGoWhenStopped) {
  const auto whole = Want(Target(2, 6));
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  whole->stop.request_stop();
  EXPECT_TRUE(whole->failed(Errc::kCancelled));
  EXPECT_FALSE(source_.stream(0).stop.stop_requested());
  Pass(options_.linger_ms);
  EXPECT_TRUE(source_.stream(0).stop.stop_requested());
  Break(source_.stream(0), Errc::kCancelled);
  EXPECT_TRUE(fetcher_->Downloads().empty());
  EXPECT_EQ(whole->calls, 1);
}

TEST_F(WholeSeriesTest, WhatAShortStreamLeftOutIsListedAndFetchedSingly) {
  const auto target = Target(3, 9);
  source_.set_instances({"a", "b", "c"});
  const auto whole = Want(target);
  SendAll(0, {"a", "c"});
  EXPECT_EQ(source_.listings(), 1);
  SendSingle(0, "b");
  EXPECT_TRUE(whole->verified());
  EXPECT_TRUE(Verified(target));
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(WholeSeriesTest, WhatCannotBeListedIsStreamedOnceMore) {
  const auto target = Target(3, 9);
  const auto whole = Want(target);
  SendAll(0, {"a", "c"});
  ASSERT_EQ(source_.streams(), 2u);
  SendAll(1, {"a", "b", "c"});
  EXPECT_TRUE(whole->verified());
  EXPECT_EQ(source_.listings(), 1);
  EXPECT_EQ(source_.singles(), 0u);
}

TEST_F(WholeSeriesTest, MoreThanSinglesMayFillIsStreamedOnceMore) {
  std::vector<std::string> sops;
  for (size_t i = 0; i <= kSinglesMax + 1; ++i) sops.push_back(std::to_string(100 + i));
  const auto count = static_cast<int64_t>(sops.size());
  const auto target = Target(count, count * 9);
  source_.set_instances(sops);
  const auto whole = Want(target);
  SendAll(0, {sops[0]});
  EXPECT_EQ(source_.singles(), 0u);
  SendAll(1, sops);
  EXPECT_TRUE(whole->verified());
}

TEST_F(WholeSeriesTest, NamesWhatTheArchiveDoesNotDeliver) {
  const auto target = Target(3, 9);
  source_.set_instances({"a", "b", "c"});
  const auto whole = Want(target);
  SendAll(0, {"a", "c"});
  ASSERT_EQ(source_.singles(), 1u);
  Break(source_.single(0), Errc::kNotFound, "no such image");
  SendAll(1, {"a", "c"});
  ASSERT_EQ(whole->calls, 1);
  ASSERT_TRUE(whole->result.has_value());
  const auto& outcome = *whole->result;
  EXPECT_FALSE(outcome.verified);
  EXPECT_EQ(outcome.instances, 2);
  ASSERT_EQ(outcome.missing.size(), 1u);
  EXPECT_EQ(outcome.missing[0].sop, SopUid("b"));
  EXPECT_EQ(outcome.missing[0].reason, "the archive did not deliver this instance: no such image");
  EXPECT_EQ(outcome.reason,
            "2 of 3 images are here: the archive did not deliver this instance: no such image");
  EXPECT_EQ(fetcher_->LastError(Key(target), SopUid("b")), outcome.missing[0].reason);
  EXPECT_EQ(source_.streams(), 2u);
  EXPECT_TRUE(fetcher_->Downloads().empty());
}

TEST_F(WholeSeriesTest, WhatIsNoneOfTheSeriesIsDropped) {
  const auto target = Target(2, 6);
  source_.set_instances({"a", "b"});
  const auto whole = Want(target);
  SendAll(0, {"a", "x", "b"});
  EXPECT_TRUE(whole->verified());
  EXPECT_EQ(whole->result->instances, 2);
  EXPECT_EQ(cache_.Text(Key(target), SopUid("x")), "");
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(WholeSeriesTest, AListingThatIsShortDropsNothing) {
  const auto target = Target(2, 6);
  source_.set_instances({"a"});
  const auto whole = Want(target);
  SendAll(0, {"a", "b", "c"});
  SendAll(1, {"a", "b", "c"});
  ASSERT_EQ(whole->calls, 1);
  ASSERT_TRUE(whole->result.has_value());
  EXPECT_EQ(whole->result->reason, "3 images came, 2 were announced");
  EXPECT_EQ(cache_.Text(Key(target), SopUid("b")), "bbb");
}

TEST_F(WholeSeriesTest, TellsAnAnnouncementThatIsNeverMet) {
  const auto target = Target(2, 7);
  const auto whole = Want(target);
  SendAll(0, {"a", "b"});
  ASSERT_EQ(whole->calls, 1);  // with these MD5 sums no second delivery can tell otherwise
  ASSERT_TRUE(whole->result.has_value());
  EXPECT_FALSE(whole->result->verified);
  EXPECT_EQ(whole->result->reason, "its images have 6 bytes in all, 7 were announced");
  EXPECT_TRUE(whole->result->missing.empty());
  EXPECT_EQ(source_.listings(), 0);  // none is missing
}

TEST_F(WholeSeriesTest, SeriesOfUnknownSizeIsVerifiedByAWholeStream) {
  const auto target = Target();
  const auto whole = Want(target);
  SendAll(0, {"a", "b"});
  EXPECT_TRUE(whole->verified());
}

TEST_F(WholeSeriesTest, CompletesWhatIsHereWithoutAStream) {
  const auto target = Target(3, 9);
  Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  ASSERT_TRUE(source_.stream(0).Begin("c"));
  Break(source_.stream(0), Errc::kPermission);
  ASSERT_FALSE(Verified(target));
  source_.set_instances({"a", "b", "c"});
  const auto whole = Want(target);
  SendSingle(0, "c");
  EXPECT_TRUE(whole->verified());
  EXPECT_EQ(source_.streams(), 1u);
}

TEST_F(WholeSeriesTest, VerifiesWhatIsAllHereWithoutARequest) {
  const auto target = Target(2, 6);
  Read(target, "a");
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  ASSERT_TRUE(source_.stream(0).Send("b", "bbb"));
  executor_.RunAll();
  Break(source_.stream(0), Errc::kPermission);
  ASSERT_FALSE(Verified(target));
  EXPECT_TRUE(Want(target)->verified());
  EXPECT_EQ(source_.streams(), 1u);
  EXPECT_EQ(source_.singles(), 0u);
}

TEST_F(WholeSeriesTest, TellsWhyTheDownloadFailed) {
  const auto target = Target(2, 6);
  const auto whole = Want(target);
  Break(source_.stream(0), Errc::kPermission, "this series is not for you");
  ASSERT_TRUE(whole->failed(Errc::kPermission));
  EXPECT_EQ(whole->result.error().message, "this series is not for you");
  // Who asks for a series asks now: what failed a moment ago is not the answer.
  const auto again = Want(target);
  EXPECT_EQ(again->calls, 0);
  SendAll(1, {"a", "b"});
  EXPECT_TRUE(again->verified());
}

TEST_F(WholeSeriesTest, BrokenStreamsAreMadeUpForSingly) {
  const auto target = Target(3, 9);
  source_.set_instances({"a", "b", "c"});
  const auto whole = Want(target);
  for (int i = 0; i <= kStreamRetriesMax; ++i) {
    const auto& stream = source_.stream(static_cast<size_t>(i));
    ASSERT_TRUE(stream.Send("a", "aaa"));
    ASSERT_TRUE(stream.Send("b", "bbb"));
    ASSERT_TRUE(stream.Begin("c"));
    Break(stream, Errc::kUnavailable);
    Pass(kRetryFirstMs * 6);
  }
  SendSingle(0, "c");
  EXPECT_TRUE(whole->verified());
}

TEST_F(WholeSeriesTest, NewerVersionEndsTheOlder) {
  const auto older = Want(Target(1, 3));
  auto target = Target(2, 6);
  target.record.version.timestamp = "2021-01-01";
  const auto newer = Want(target);
  EXPECT_TRUE(older->failed(Errc::kStale));
  Break(source_.stream(0), Errc::kCancelled);
  SendAll(1, {"a", "b"});
  EXPECT_TRUE(newer->verified());
}

TEST_F(WholeSeriesTest, ShutdownAnswersEverybody) {
  const auto under_way = Want(Target(2, 6, "1"));
  const auto listing = Want(Target(2, 6, "2"));
  const auto queued = Want(Target(2, 6, "3"));
  fetcher_->Shutdown();
  for (const auto& whole : {under_way, listing, queued})
    EXPECT_TRUE(whole->failed(Errc::kCancelled));
  EXPECT_TRUE(Want(Target(2, 6, "4"))->failed(Errc::kCancelled));
}

TEST_F(WholeSeriesTest, LackOfSpaceIsTold) {
  cache_.FailBegin(Error{Errc::kNoSpace, "the cache is full of promises"});
  EXPECT_TRUE(Want(Target(2, 6))->failed(Errc::kNoSpace));
  cache_.FailBegin(std::nullopt);
}

}  // namespace
}  // namespace tciafs::fetch
