// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/verification.h"

#include <gtest/gtest.h>

#include <limits>

#include "tciafs/fetch/limits.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;

cache::KnownInstance Cached(const char* sop, int64_t size_bytes, const char* md5_hex = "") {
  return {SopUid(sop), size_bytes, md5_hex, true};
}

TEST(Ledger, RunawayLimitsAreExact) {
  const Ledger ledger({"", 10, 1000});
  EXPECT_TRUE(ledger.CheckRunaway(20 + kExcessInstancesMax, 1500 + kExcessBytesMax));
  EXPECT_FALSE(ledger.CheckRunaway(21 + kExcessInstancesMax, 0));
  EXPECT_FALSE(ledger.CheckRunaway(0, 1501 + kExcessBytesMax));
}

TEST(Ledger, UnknownOrAbsurdFiguresHaveAbsoluteLimits) {
  constexpr int64_t kAbsurd = std::numeric_limits<int64_t>::max();
  for (const auto& version :
       {source::SeriesVersion{}, source::SeriesVersion{"", kAbsurd, kAbsurd}}) {
    const Ledger ledger(version);
    EXPECT_TRUE(ledger.CheckRunaway(kUnannouncedInstancesMax, kUnannouncedBytesMax));
    EXPECT_FALSE(ledger.CheckRunaway(kUnannouncedInstancesMax + 1, 0));
    EXPECT_FALSE(ledger.CheckRunaway(0, kUnannouncedBytesMax + 1));
  }
}

TEST(Ledger, DisputesComeBackEachTimeUntilTheSingleImageDecides) {
  Ledger ledger({"", 1, 3});
  const std::vector<cache::KnownInstance> known = {Cached("a", 3, "")};
  for (int stream = 0; stream < 2; ++stream) {
    ledger.Dispute(SopUid("a"), 3, 3);
    EXPECT_EQ(ledger.Assess(known).damaged.size(), 1u);
    EXPECT_TRUE(ledger.Assess(known).damaged.empty()) << "once for each dispute";
  }
  ledger.Settle(SopUid("a"));
  ledger.Dispute(SopUid("a"), 3, 3);
  EXPECT_TRUE(ledger.Assess(known).damaged.empty());
}

TEST(Ledger, CompleteMeansCountAndSum) {
  Ledger ledger({"", 2, 7});
  EXPECT_TRUE(ledger.Assess({Cached("a", 3), Cached("b", 4)}).complete);
  EXPECT_FALSE(ledger.Assess({Cached("a", 3), Cached("b", 5)}).complete);
  EXPECT_FALSE(ledger.Assess({Cached("a", 7)}).complete);
  auto evicted = Cached("b", 4);
  evicted.cached = false;
  EXPECT_FALSE(ledger.Assess({Cached("a", 3), evicted}).complete);
}

TEST(Ledger, Md5DecidesWhateverItsCase) {
  Ledger ledger({"", 2, 7});
  ledger.ExpectMd5(SopUid("a"), "ABCD");
  ledger.ExpectMd5(SopUid("b"), "1234");
  const auto findings = ledger.Assess({Cached("a", 3, "abcd"), Cached("b", 4, "9999")});
  EXPECT_EQ(findings.damaged, std::vector{SopUid("b")});
  EXPECT_FALSE(findings.complete);
  EXPECT_TRUE(ledger.Assess({Cached("a", 3, "abcd"), Cached("b", 4, "1234")}).all_sums);
}

TEST(Ledger, DisputeComesUpOnceAndAThirdDeliveryDecides) {
  Ledger ledger({"", 1, 9});
  ledger.Dispute(SopUid("a"), 3, 4);
  EXPECT_EQ(ledger.Assess({Cached("a", 3)}).damaged, std::vector{SopUid("a")});
  EXPECT_TRUE(ledger.Plausible(SopUid("a"), 3));
  EXPECT_TRUE(ledger.Plausible(SopUid("a"), 4));
  EXPECT_FALSE(ledger.Plausible(SopUid("a"), 5));
  EXPECT_TRUE(ledger.Assess({Cached("a", 4)}).damaged.empty());
}

TEST(Ledger, DriftIsARightCountWithAnotherSum) {
  Ledger ledger({"", 2, 7});
  EXPECT_FALSE(ledger.Assess({}).drifted);
  ledger.EndStream(true, 2, 9);
  EXPECT_TRUE(ledger.Assess({}).drifted);
  ledger.EndStream(true, 1, 3);
  EXPECT_FALSE(ledger.Assess({}).drifted);
}

}  // namespace
}  // namespace tciafs::fetch
