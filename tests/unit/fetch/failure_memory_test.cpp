// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/failure_memory.h"

#include <gtest/gtest.h>

#include <string>

#include "fetch/limits.h"
#include "support/fakes.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;

const cache::SeriesKey kKey{"scope", source::SeriesUid("1.2")};
const source::SeriesVersion kVersion{"2020-01-01", 3, 9};

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
