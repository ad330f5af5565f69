// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/failure_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "support/fakes.h"
#include "tciafs/fetch/limits.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;

const cache::SeriesKey kKey{"scope", source::SeriesUid("1.2")};
const source::SeriesVersion kVersion{"2020-01-01", 3, 9};

TEST(FailureMemory, WhatFailedBeforeTheServerRecoveredIsAskedAgain) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 10'000);
  memory.Remember(kKey, SopUid("a"), kVersion, Error{Errc::kUnavailable, "dead"});
  memory.RememberLeftOut(kKey, SopUid("b"), kVersion, Error{Errc::kUnavailable, "left out"});
  clock.Advance(1);
  const int64_t recovered_at_ms = clock.MonotonicMs();
  EXPECT_TRUE(memory.Recall(kKey, SopUid("a"), kVersion, recovered_at_ms - 2));
  EXPECT_FALSE(memory.Recall(kKey, SopUid("a"), kVersion, recovered_at_ms));
  EXPECT_TRUE(memory.Recall(kKey, SopUid("b"), kVersion, recovered_at_ms))
      << "that was no failure of the server";
  EXPECT_EQ(memory.Text(kKey, SopUid("a")), "dead");
}

TEST(FailureMemory, OfAServerThatDoesNotAnswerOnlyTheTextIsKept) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 10'000);
  memory.Remember(kKey, SopUid(), kVersion, Error{Errc::kUnreachable, "not answering"});
  EXPECT_FALSE(memory.Recall(kKey, SopUid(), kVersion));
  EXPECT_EQ(memory.Text(kKey, SopUid()), "not answering");
}

TEST(FailureMemory, SeriesFailureAnswersForItsInstances) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 100);
  memory.Remember(kKey, SopUid(), kVersion, Error{Errc::kUnavailable, "dead"});
  ASSERT_TRUE(memory.Recall(kKey, SopUid("a"), kVersion));
  EXPECT_EQ(memory.Recall(kKey, SopUid("a"), kVersion)->message, "dead");
  EXPECT_EQ(memory.Text(kKey, SopUid("a")), "");
  clock.Advance(100);
  EXPECT_FALSE(memory.Recall(kKey, SopUid("a"), kVersion));
  EXPECT_EQ(memory.Text(kKey, SopUid()), "dead");
  memory.Forget(kKey, SopUid());
  EXPECT_EQ(memory.Text(kKey, SopUid()), "");
}

TEST(FailureMemory, InstanceFailureLeavesTheOthersAlone) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 100);
  memory.Remember(kKey, SopUid("a"), kVersion, Error{Errc::kUnavailable, "gone"});
  EXPECT_TRUE(memory.Recall(kKey, SopUid("a"), kVersion));
  EXPECT_FALSE(memory.Recall(kKey, SopUid("b"), kVersion));
}

TEST(FailureMemory, AnotherVersionIsAskedForAnew) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 100);
  memory.Remember(kKey, SopUid(), kVersion, Error{Errc::kUnavailable, "dead"});
  EXPECT_FALSE(memory.Recall(kKey, SopUid("a"), {"2021-01-01", 3, 9}));
}

TEST(FailureMemory, CancellationIsNoFailure) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 100);
  memory.Remember(kKey, SopUid(), kVersion, Error{Errc::kCancelled, "interrupted"});
  memory.Remember(kKey, SopUid(), kVersion, Error{Errc::kStale, "superseded"});
  EXPECT_FALSE(memory.Recall(kKey, SopUid(), kVersion));
  EXPECT_EQ(memory.Text(kKey, SopUid()), "");
}

TEST(FailureMemory, LeftOutInstanceIsAskedForEverLessOften) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 10'000);
  const SopUid sop("a");
  const Error error{Errc::kUnavailable, "not delivered"};
  int64_t expected_ms = 10'000;
  for (int i = 0; i < 12; ++i) {
    memory.RememberLeftOut(kKey, sop, kVersion, error);
    clock.Advance(expected_ms - 1);
    ASSERT_TRUE(memory.Recall(kKey, sop, kVersion)) << i;
    clock.Advance(1);
    ASSERT_FALSE(memory.Recall(kKey, sop, kVersion)) << i;
    EXPECT_TRUE(memory.LeftOut(kKey, sop, kVersion));
    expected_ms = std::min<int64_t>(expected_ms * 2, 3'600'000);
  }
}

TEST(FailureMemory, WhatThisMachineFailedAtIsAskedForAgainSoonEachTime) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 10'000);
  const SopUid sop("a");
  for (const Errc code : {Errc::kInternal, Errc::kNoSpace, Errc::kInternal}) {
    memory.RememberLeftOut(kKey, sop, kVersion, Error{code, "too many open files"});
    EXPECT_FALSE(memory.LeftOut(kKey, sop, kVersion));
    clock.Advance(9'999);
    EXPECT_TRUE(memory.Recall(kKey, sop, kVersion));
    clock.Advance(1);
    EXPECT_FALSE(memory.Recall(kKey, sop, kVersion));
  }
}

TEST(FailureMemory, LeftOutIsForgottenBySuccessAndNewVersion) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 100);
  const SopUid sop("a");
  const Error error{Errc::kUnavailable, "not delivered"};
  const source::SeriesVersion newer{"2021-01-01", 3, 9};
  memory.RememberLeftOut(kKey, sop, kVersion, error);
  memory.RememberLeftOut(kKey, sop, kVersion, error);
  EXPECT_FALSE(memory.LeftOut(kKey, sop, newer));
  memory.RememberLeftOut(kKey, sop, newer, error);
  clock.Advance(100);
  EXPECT_FALSE(memory.Recall(kKey, sop, newer));
  memory.Forget(kKey, sop);
  EXPECT_FALSE(memory.LeftOut(kKey, sop, newer));
  memory.RememberLeftOut(kKey, sop, newer, error);
  clock.Advance(100);
  EXPECT_FALSE(memory.Recall(kKey, sop, newer));
  memory.Remember(kKey, sop, newer, Error{Errc::kUnavailable, "dead"});
  EXPECT_FALSE(memory.LeftOut(kKey, sop, newer));
}

TEST(FailureMemory, IsBounded) {
  testing::FakeClock clock;
  FailureMemory memory(clock, 100);
  for (size_t i = 0; i <= kFailuresMax; ++i)
    memory.Remember(kKey, SopUid(std::to_string(i)), kVersion, Error{Errc::kCorrupt, "x"});
  EXPECT_EQ(memory.Text(kKey, SopUid("0")), "");
  EXPECT_EQ(memory.Text(kKey, SopUid("1")), "x");
  EXPECT_EQ(memory.Text(kKey, SopUid(std::to_string(kFailuresMax))), "x");
}

}  // namespace
}  // namespace tciafs::fetch
