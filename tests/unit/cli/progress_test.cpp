// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/progress.h"

#include <gmock/gmock.h>

namespace tciafs::cli {
namespace {

using control::Message;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr int64_t kMiB = int64_t{1} << 20;
const std::string kPath = "/Lung/P1/1.2.3/1.2.3.4";

Message Plan(int64_t series, int64_t bytes, int64_t here_series = 0, int64_t here_bytes = 0) {
  return Message("plan")
      .Add("series", series)
      .Add("images", series * 10)
      .Add("bytes", bytes)
      .Add("here_series", here_series)
      .Add("here_bytes", here_bytes)
      .Add("needed_bytes", bytes - here_bytes)
      .Add("room_bytes", 100 * kMiB);
}
Message Active(int64_t received, int64_t expected, bool started = true) {
  return Message("active")
      .Add("path", kPath)
      .Add("received_bytes", received)
      .Add("expected_bytes", expected)
      .Add("started", started ? 1 : 0);
}
Message Ended(int64_t series, int64_t bytes) {
  return Message("progress").Add("ended", series).Add("ended_bytes", bytes);
}
Message Failed(Errc code) {
  return Message("series").Add("path", kPath).Add("state", "failed").Add("code", ErrcName(code));
}

class Progress : public ::testing::Test {
 protected:
  void Take(const Message& message, int64_t now_ms = 0) { progress_.Take(message, now_ms); }
  FetchProgress progress_;
};

TEST_F(Progress, ABarForEachSeriesAndOneForAll) {
  Take(Plan(4, 40 * kMiB));
  Take(Active(5 * kMiB, 10 * kMiB));
  Take(Active(0, 10 * kMiB, false));
  Take(Ended(1, 10 * kMiB), 0);
  EXPECT_THAT(progress_.Bars(79),
              ElementsAre("[========>        ]  5.0 MiB of 10.0 MiB  " + kPath,
                          "[                 ]  queued               " + kPath,
                          "[======>          ]  15.0 MiB of 40.0 MiB  1 of 4 series"));
}

TEST_F(Progress, WhatIsUnderWayIsThatOfTheLastTelling) {
  Take(Plan(4, 40 * kMiB));
  Take(Active(kMiB, 10 * kMiB));
  EXPECT_THAT(progress_.Bars(79), SizeIs(1)) << "the state was not told whole yet";
  Take(Ended(0, 0));
  EXPECT_THAT(progress_.Bars(79), SizeIs(2));
  Take(Ended(4, 40 * kMiB));
  EXPECT_THAT(progress_.Bars(79),
              ElementsAre("[=================]  40.0 MiB of 40.0 MiB  4 of 4 series"));
}

TEST_F(Progress, RateAndTimeLeftAreOfLately) {
  Take(Plan(1, 100 * kMiB));
  Take(Active(0, 100 * kMiB));
  Take(Ended(0, 0), 0);
  Take(Active(kMiB / 2, 100 * kMiB));
  Take(Ended(0, 0), 500);
  EXPECT_THAT(progress_.Bars(99).back(), Not(HasSubstr("/s"))) << "too short a time to tell";
  Take(Active(20 * kMiB, 100 * kMiB));
  Take(Ended(0, 0), 20'000);
  Take(Active(40 * kMiB, 100 * kMiB));
  Take(Ended(0, 0), 30'000);
  EXPECT_THAT(progress_.Bars(99).back(), EndsWith("2.0 MiB/s  30 s left"));
  Take(Active(0, 100 * kMiB));  // a transfer that broke begins again
  Take(Ended(0, 0), 31'000);
  EXPECT_THAT(progress_.Bars(99).back(), EndsWith("0 of 1 series"));
}

TEST_F(Progress, NeverWiderThanTheTerminal) {
  Take(Plan(1000, 100'000 * kMiB));
  for (int i = 0; i < 3; ++i) Take(Active(999 * kMiB, 1000 * kMiB));
  Take(Ended(0, 0), 0);
  Take(Active(1000 * kMiB, 1000 * kMiB));
  Take(Ended(999, 99'000 * kMiB), 5'000);
  for (int columns = 40; columns < 200; ++columns)
    for (const std::string& line : progress_.Bars(columns))
      EXPECT_LE(line.size(), static_cast<size_t>(columns)) << line;
  EXPECT_THAT(progress_.Bars(40),
              ElementsAre(Not(HasSubstr("1.2.3")), "[========]  97.7 GiB of 97.7 GiB"));
  EXPECT_THAT(progress_.Bars(60).front(), HasSubstr("...")) << "a long path is shortened";
}

TEST_F(Progress, MoreThanAnnouncedDoesNotOverflow) {
  Take(Plan(1, 10 * kMiB));
  Take(Active(15 * kMiB, 10 * kMiB));
  Take(Ended(0, 0));
  EXPECT_THAT(progress_.Bars(79).back(), StartsWith("[=================]  10.0 MiB of 10.0 MiB"));
}

TEST_F(Progress, WhatIsHereIsNoPartOfTheBar) {
  Take(Plan(3, 30 * kMiB, 1, 10 * kMiB));
  Take(Ended(1, 10 * kMiB));
  EXPECT_THAT(progress_.Bars(79),
              ElementsAre("[========>        ]  10.0 MiB of 20.0 MiB  1 of 2 series"));
}

TEST_F(Progress, UnknownSizesAreCountedBySeries) {
  Take(Plan(4, 0).Add("of_unknown_size", 4));
  Take(Active(kMiB, -1));
  Take(Ended(2, 7 * kMiB));
  EXPECT_THAT(progress_.Bars(79), ElementsAre("[                 ]  1.0 MiB  " + kPath,
                                              "[========>        ]  8.0 MiB  2 of 4 series"));
}

TEST_F(Progress, PlanInWords) {
  Take(Plan(3, 30 * kMiB));
  EXPECT_EQ(progress_.PlanText(),
            "3 series, 30 images, 30.0 MiB; takes 30.0 MiB of the cache, which has room for "
            "100.0 MiB");
  Take(Plan(3, 30 * kMiB, 1, 10 * kMiB).Add("of_unknown_size", 1));
  EXPECT_EQ(progress_.PlanText(),
            "3 series, 30 images, 30.0 MiB and 1 of unknown size; 1 series (10.0 MiB) are here "
            "already; takes 20.0 MiB of the cache, which has room for 100.0 MiB");
  Take(Plan(3, 30 * kMiB, 3, 30 * kMiB));
  EXPECT_EQ(progress_.PlanText(), "3 series, 30 images, 30.0 MiB; all of it is here already");
  Take(Plan(0, 0));
  EXPECT_EQ(progress_.PlanText(), "0 series, 0 images, 0 B: there is nothing to fetch");
}

TEST_F(Progress, SummaryInWords) {
  Take(Plan(3, 30 * kMiB));
  Take(Message("series").Add("state", "verified").Add("bytes", 10 * kMiB));
  Take(Message("summary").Add("series", 3).Add("verified", 2).Add("here", 1).Add("left", 0));
  EXPECT_EQ(progress_.SummaryText(61'000), "2 of 3 series verified; 10.0 MiB came in 1 min 01 s");
}

TEST_F(Progress, TheWorstDecidesTheExitCode) {
  EXPECT_EQ(progress_.code(), ExitCode::kDone);
  EXPECT_EQ(progress_.FailureText(), "");
  Take(Plan(9, 90 * kMiB));
  Take(Message("series").Add("path", kPath).Add("state", "unverified").Add("reason", "no"));
  EXPECT_EQ(progress_.code(), ExitCode::kUnverified);
  Take(Failed(Errc::kCorrupt));
  EXPECT_EQ(progress_.code(), ExitCode::kUnverified);
  Take(Failed(Errc::kNotFound));
  EXPECT_EQ(progress_.code(), ExitCode::kArchive);
  Take(Failed(Errc::kUnavailable));
  EXPECT_EQ(progress_.code(), ExitCode::kArchive);
  Take(Failed(Errc::kUnauthenticated));
  EXPECT_EQ(progress_.code(), ExitCode::kCredentials);
  Take(Failed(Errc::kTimedOut));
  EXPECT_EQ(progress_.code(), ExitCode::kCredentials);
  Take(Failed(Errc::kNoSpace));
  EXPECT_EQ(progress_.code(), ExitCode::kFailed);
  Take(Message("summary").Add("verified", 2).Add("left", 3));
  EXPECT_EQ(progress_.code(), ExitCode::kFailed);
  EXPECT_EQ(progress_.FailureText(),
            "7 of 9 series could not be brought here and verified, 3 of them were not asked for "
            "after that");
}

TEST_F(Progress, ASeriesThatEndedInWords) {
  Message done("series");
  done.Add("path", kPath).Add("state", "verified").Add("images", 12).Add("bytes", 6 * kMiB);
  EXPECT_EQ(SeriesText(done), "done  " + kPath + "  12 images  6.0 MiB");
  Message unverified("series");
  unverified.Add("path", "/A\x1b").Add("state", "unverified").Add("reason", "1 of 2 are here");
  EXPECT_EQ(SeriesText(unverified), "/A?: 1 of 2 are here");
}

}  // namespace
}  // namespace tciafs::cli
