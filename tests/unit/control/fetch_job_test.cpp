// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The requests fetch, pin and unpin: what they look for, whether it fits, and how they tell of it.
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/fake_block_cache.h"
#include "support/fake_catalog.h"
#include "support/fake_fetcher.h"
#include "support/fakes.h"
#include "tciafs/control/limits.h"
#include "tciafs/control/operations.h"

namespace tciafs::control {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Listener final : public Answers {
 public:
  Status Send(const Message& message) override {
    std::string line = message.Encoded();
    line.pop_back();
    if (message.kind() == "progress" || message.kind() == "active") {
      ++progress;
    } else {
      lines.push_back(line);
    }
    if (message.kind() == hang_up_at) return Fail(Errc::kCancelled, "the other side has gone");
    return {};
  }
  std::stop_token stop() const override { return stop_source.get_token(); }

  std::vector<std::string> lines;
  int progress = 0;
  std::string hang_up_at;
  std::stop_source stop_source;
};

class FetchRequests : public ::testing::Test {
 protected:
  FetchRequests() {
    catalog_.health.resize(1);
    catalog_.health[0].scope = "archive|guest";
    fetcher_.serve_series = [this](const fetch::SeriesTarget& target, std::stop_token,
                                   Callback<fetch::SeriesOutcome> done) {
      ++asked_;
      done(Serve(target));
    };
    filesystem_ = vfs::CreateFilesystem({}, catalog_, fetcher_, cache_, executor_);
  }

  // Of 2 images with 100 bytes each.
  void AddSeries(const std::string& study, const std::string& uid, int64_t total_bytes = 200,
                 int64_t images = 2) {
    catalog::ObjectPath at;
    source::SeriesRecord record;
    const std::string names[] = {"Lung", "P1", study, uid};
    for (const std::string& name : names) {
      catalog_.Add(at, {name, 0, 0, -1});
      at = at.Child(name, 0);
    }
    catalog_.Add(at, {uid + ".1.dcm", 0, 0, -1});
    record.series = at.series;
    record.version = {"2020-01-01", images, total_bytes};
    catalog_.SetSeries(at, record);
  }
  static cache::SeriesKey Key(const std::string& uid) {
    return {"archive|guest", source::SeriesUid(uid)};
  }
  void Keep(const std::string& uid, const source::SeriesVersion& version) {
    auto writer = cache_.BeginSeries({Key(uid), version});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->MarkVerified());
  }
  Result<fetch::SeriesOutcome> Serve(const fetch::SeriesTarget& target) {
    const std::string& uid = target.record.series.text();
    served_.push_back(uid);
    if (const auto error = errors_.find(uid); error != errors_.end()) return Fail(error->second);
    fetch::SeriesOutcome outcome;
    outcome.instances = 2;
    outcome.size_bytes = 200;
    outcome.verified = !damaged_.contains(uid);
    if (outcome.verified) {
      Keep(uid, target.record.version);
    } else {
      outcome.reason = "1 of 2 images are here: gone";
      outcome.missing = {{source::SopUid(uid + ".1"), "gone"}};
    }
    return outcome;
  }
  Status Request(const std::string& line) {
    const auto request = Message::Decode(line);
    EXPECT_TRUE(request);
    return Operations({catalog_, fetcher_, cache_, *filesystem_, "/mnt", 2})(*request, listener_);
  }

  testing::FakeCatalog catalog_;
  testing::FakeFetcher fetcher_;
  testing::FakeBlockCache cache_;
  testing::ManualExecutor executor_;
  std::unique_ptr<vfs::Filesystem> filesystem_;
  Listener listener_;
  std::atomic<int> asked_ = 0;
  std::vector<std::string> served_;
  std::map<std::string, Error> errors_;
  std::set<std::string> damaged_;
};

TEST_F(FetchRequests, BringsEverySeriesBelowAPath) {
  AddSeries("1.1", "1.1.1");
  AddSeries("1.1", "1.1.2");
  AddSeries("1.2", "1.2.1");
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(
      listener_.lines,
      ElementsAre("looking path=/Lung",
                  "plan series=3 images=6 bytes=600 of_unknown_size=0 here_series=0 here_bytes=0 "
                  "needed_bytes=600 room_bytes=1099511627776",
                  "series path=/Lung/P1/1.1/1.1.1 state=verified images=2 bytes=200",
                  "series path=/Lung/P1/1.1/1.1.2 state=verified images=2 bytes=200",
                  "series path=/Lung/P1/1.2/1.2.1 state=verified images=2 bytes=200",
                  "summary series=3 verified=3 here=0 unverified=0 failed=0 left=0"));
}

TEST_F(FetchRequests, TakesPathsOfEveryLevelAndEachSeriesOnce) {
  AddSeries("1.1", "1.1.1");
  AddSeries("1.2", "1.2.1");
  ASSERT_TRUE(
      Request("fetch path=/Lung/P1/1.1/1.1.1 path=/Lung/P1/1.1/1.1.1/1.1.1.1.dcm "
              "path=/Lung/P1/1.1 path=/Lung/P1"));
  EXPECT_THAT(served_, ElementsAre("1.1.1", "1.2.1"));
}

TEST_F(FetchRequests, SkipsWhatIsHere) {
  AddSeries("1.1", "1.1.1");
  AddSeries("1.1", "1.1.2");
  Keep("1.1.2", {"2020-01-01", 2, 200});
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(listener_.lines[1],
              AllOf(HasSubstr("here_series=1 here_bytes=200"), HasSubstr("needed_bytes=200")));
  EXPECT_THAT(served_, ElementsAre("1.1.2", "1.1.1"));  // the use of what is here counts first
  EXPECT_EQ(listener_.lines[2], "series path=/Lung/P1/1.1/1.1.1 state=verified images=2 bytes=200");
  EXPECT_EQ(listener_.lines[3], "summary series=2 verified=2 here=1 unverified=0 failed=0 left=0");
}

TEST_F(FetchRequests, TellsWhatIsNotVerifiedAndWhatFailed) {
  for (const char* uid : {"1.1.1", "1.1.2", "1.1.3"}) AddSeries("1.1", uid);
  damaged_ = {"1.1.1"};
  errors_["1.1.2"] = Error{Errc::kUnavailable, "no connection"};
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(std::vector(listener_.lines.begin() + 2, listener_.lines.end()),
              ElementsAre("series path=/Lung/P1/1.1/1.1.1 state=unverified images=2 bytes=200 "
                          "reason=1%20of%202%20images%20are%20here:%20gone",
                          "missing path=/Lung/P1/1.1/1.1.1/1.1.1.1.dcm reason=gone",
                          "series path=/Lung/P1/1.1/1.1.2 state=failed code=unavailable "
                          "reason=no%20connection",
                          "series path=/Lung/P1/1.1/1.1.3 state=verified images=2 bytes=200",
                          "summary series=3 verified=1 here=0 unverified=1 failed=1 left=0"));
}

TEST_F(FetchRequests, NamesThatCannotBeListedAreAFailure) {
  AddSeries("1.1", "1.1.1");
  catalog::ObjectPath series;
  for (const char* name : {"Lung", "P1", "1.1", "1.1.1"}) series = series.Child(name, 0);
  catalog_.SetFailure(series, Error{Errc::kUnavailable, "down"});
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_EQ(listener_.lines[2],
            "series path=/Lung/P1/1.1/1.1.1 state=failed code=unavailable "
            "reason=its%20images%20could%20not%20be%20listed:%20down");
}

TEST_F(FetchRequests, AServerThatDoesNotAnswerIsNotAskedForTheRest) {
  for (const char* uid : {"1.1.1", "1.1.2", "1.1.3", "1.1.4"}) AddSeries("1.1", uid);
  errors_["1.1.1"] = Error{Errc::kUnreachable, "archive does not answer"};
  ASSERT_TRUE(Request("fetch path=/Lung jobs=1"));
  EXPECT_THAT(served_, ElementsAre("1.1.1"));
  EXPECT_EQ(listener_.lines.back(),
            "summary series=4 verified=0 here=0 unverified=0 failed=1 left=3");
}

TEST_F(FetchRequests, ASeriesThatIsRenewedMeanwhileIsAskedForOnceMore) {
  AddSeries("1.1", "1.1.1");
  errors_["1.1.1"] = Error{Errc::kStale, "the archive has a newer version of this series"};
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(served_, ElementsAre("1.1.1", "1.1.1"));
  EXPECT_THAT(listener_.lines.back(), HasSubstr("failed=1"));
}

TEST_F(FetchRequests, WhatHadToMakeRoomMeanwhileIsToldSo) {
  AddSeries("1.1", "1.1.1");
  AddSeries("1.1", "1.1.2");
  fetcher_.serve_series = [this](const fetch::SeriesTarget& target, std::stop_token,
                                 Callback<fetch::SeriesOutcome> done) {
    const bool last = target.record.series.text() == "1.1.2";
    EXPECT_TRUE(!last || cache_.Evict(Key("1.1.1")));
    done(Serve(target));
  };
  ASSERT_TRUE(Request("fetch path=/Lung jobs=1"));
  EXPECT_THAT(listener_.lines.end()[-2],
              HasSubstr("series path=/Lung/P1/1.1/1.1.1 state=failed code=no%20space"));
  EXPECT_THAT(listener_.lines.back(), HasSubstr("verified=1 here=0 unverified=0 failed=1"));
}

TEST_F(FetchRequests, RefusesWhatDoesNotFitBeforeAnythingIsAsked) {
  AddSeries("1.1", "1.1.1");
  cache_.set_room({.room_bytes = 100, .pinned_bytes = 2048, .in_use_bytes = 1024});
  const Status outcome = Request("fetch path=/Lung");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kNoSpace);
  EXPECT_EQ(outcome.error().message,
            "does not fit: 200 B are still to come and there is room for 100 B: the cache may "
            "take 0 B (--cache-size); 2.0 KiB are pinned, 1.0 KiB in use");
  EXPECT_THAT(listener_.lines.back(), HasSubstr("plan series=1"));
  EXPECT_EQ(asked_, 0);
}

TEST_F(FetchRequests, PinsWhatFitsTogetherWithAllThatIsPinned) {
  AddSeries("1.1", "1.1.1");
  cache_.set_room({.room_bytes = 300, .pinned_lack_bytes = 101});
  EXPECT_TRUE(Request("fetch path=/Lung"));
  ASSERT_TRUE(cache_.Evict(Key("1.1.1")));
  const Status refused = Request("pin path=/Lung");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("101 B of them of what is pinned already"));
  EXPECT_FALSE(cache_.Pinned(Key("1.1.1")));
  cache_.set_room({.room_bytes = 300, .pinned_lack_bytes = 100});
  listener_.lines.clear();
  EXPECT_TRUE(Request("pin path=/Lung only_mark=1"));
  EXPECT_TRUE(cache_.Pinned(Key("1.1.1")));
  EXPECT_EQ(listener_.lines.back(), "pinned series=1");
  EXPECT_EQ(asked_, 1);
  EXPECT_TRUE(Request("pin path=/Lung"));
  EXPECT_THAT(listener_.lines.back(), HasSubstr("summary series=1 verified=1"));
  EXPECT_EQ(asked_, 2);
  EXPECT_TRUE(Request("unpin path=/Lung/P1"));
  EXPECT_EQ(listener_.lines.back(), "unpinned series=1");
  EXPECT_FALSE(cache_.Pinned(Key("1.1.1")));
  EXPECT_TRUE(Request("unpin path=/Lung/P1"));
  EXPECT_EQ(listener_.lines.back(), "unpinned series=0");
}

TEST_F(FetchRequests, SeriesOfUnknownSizeAreCounted) {
  AddSeries("1.1", "1.1.1", -1);
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(listener_.lines[1], HasSubstr("bytes=0 of_unknown_size=1"));
}

TEST_F(FetchRequests, ASeriesWithoutImagesIsPassedOver) {
  AddSeries("1.1", "1.1.1", 0, 0);
  AddSeries("1.1", "1.1.2");
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(served_, ElementsAre("1.1.2"));
}

TEST_F(FetchRequests, WrongPathsAreTold) {
  AddSeries("1.1", "1.1.1");
  const auto code_of = [this](const std::string& line) {
    const Status outcome = Request(line);
    return outcome ? Errc::kInternal : outcome.error().code;
  };
  EXPECT_EQ(code_of("fetch path=/Lung path=/Brain"), Errc::kNotFound);
  EXPECT_EQ(code_of("fetch path=/"), Errc::kInvalidArgument);
  EXPECT_EQ(code_of("pin path=/Lung/P1/1.1/1.1.1/1.1.1.1.dcm/x"), Errc::kNotDirectory);
  catalog_.SetFailure(catalog::ObjectPath{}.Child("Lung", 0), Error{Errc::kUnavailable, "down"});
  EXPECT_EQ(code_of("unpin path=/Lung"), Errc::kUnavailable);
  EXPECT_EQ(asked_, 0);
}

TEST_F(FetchRequests, TheWholeArchiveMustBeAskedFor) {
  AddSeries("1.1", "1.1.1");
  ASSERT_TRUE(Request("fetch path=/ whole_archive=1"));
  EXPECT_THAT(served_, ElementsAre("1.1.1"));
}

TEST_F(FetchRequests, NothingBelowIsNoFailure) {
  AddSeries("1.1", "1.1.1");
  catalog_.Remove(catalog::ObjectPath{}.Child("Lung", 0), "P1");
  ASSERT_TRUE(Request("fetch path=/Lung"));
  EXPECT_THAT(listener_.lines.back(), HasSubstr("summary series=0"));
}

// Answers that come later, from other threads.
class SlowFetchRequests : public FetchRequests {
 protected:
  SlowFetchRequests() {
    fetcher_.serve_series = [this](const fetch::SeriesTarget& target, std::stop_token stop,
                                   Callback<fetch::SeriesOutcome> done) {
      const int under_way = ++asked_ - finished_;
      most_at_once_ = std::max<int>(most_at_once_, under_way);
      held_.Add(stop, [this, target, done = std::move(done)](bool cancelled) {
        ++finished_;
        cancelled ? done(Fail(Errc::kCancelled, "stopped")) : done(Serve(target));
      });
    };
  }
  void WaitUntilAsked(int count) const {
    while (asked_ < count) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  testing::HeldCalls held_;
  std::atomic<int> finished_ = 0;
  std::atomic<int> most_at_once_ = 0;
};

TEST_F(SlowFetchRequests, AsksForAFewAtATimeAndTellsHowItGoes) {
  for (const char* uid : {"1.1.1", "1.1.2", "1.1.3", "1.1.4", "1.1.5"}) AddSeries("1.1", uid);
  fetcher_.downloads.resize(1);
  fetcher_.downloads[0].record.series = source::SeriesUid("1.1.1");
  std::atomic<bool> ended = false;
  std::thread archive([this, &ended] {
    WaitUntilAsked(2);
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // more than between two tellings
    while (!ended) {
      held_.Release();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  EXPECT_TRUE(Request("fetch path=/Lung"));
  ended = true;
  archive.join();
  EXPECT_EQ(most_at_once_, 2);  // as many as the mount downloads at once
  EXPECT_GE(listener_.progress, 2);
  EXPECT_THAT(listener_.lines.back(), HasSubstr("verified=5"));
}

TEST_F(SlowFetchRequests, EndsWhenStopped) {
  for (const char* uid : {"1.1.1", "1.1.2", "1.1.3"}) AddSeries("1.1", uid);
  std::thread person([this] {
    WaitUntilAsked(2);
    listener_.stop_source.request_stop();
  });
  const Status outcome = Request("fetch path=/Lung");
  person.join();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Errc::kCancelled);
  EXPECT_EQ(finished_, 2);  // both were let go
  EXPECT_EQ(asked_, 2);
  EXPECT_EQ(held_.waiting(), 0u);
}

TEST_F(SlowFetchRequests, EndsWhenNobodyListens) {
  for (const char* uid : {"1.1.1", "1.1.2", "1.1.3"}) AddSeries("1.1", uid);
  listener_.hang_up_at = "progress";
  EXPECT_FALSE(Request("fetch path=/Lung"));
  EXPECT_EQ(finished_, 2);
  EXPECT_THAT(served_, IsEmpty());
}

}  // namespace
}  // namespace tciafs::control
