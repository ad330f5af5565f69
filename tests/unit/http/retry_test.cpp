// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/retry.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "http/limits.h"

namespace tciafs::http {
namespace {

TEST(RetryAfter, SecondsAndDates) {
  constexpr int64_t kNowMs = 784'111'777'000;  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(ParseRetryAfterMs("0", kNowMs), 0);
  EXPECT_EQ(ParseRetryAfterMs(" 120 ", kNowMs), 120'000);
  EXPECT_EQ(ParseRetryAfterMs("Sun, 06 Nov 1994 08:50:07 GMT", kNowMs), 30'000);
  EXPECT_EQ(ParseRetryAfterMs("Sun, 06 Nov 1994 08:49:07 GMT", kNowMs), 0) << "in the past";
  EXPECT_EQ(ParseRetryAfterMs("99999999999999999999", kNowMs), 86'400'000) << "no overflow";
  EXPECT_EQ(ParseRetryAfterMs("86399", kNowMs), kRetryAfterMaxMs - 1000);
  EXPECT_EQ(ParseRetryAfterMs("86400", kNowMs), kRetryAfterMaxMs);
  EXPECT_EQ(ParseRetryAfterMs("86401", kNowMs), kRetryAfterMaxMs);
  EXPECT_EQ(ParseRetryAfterMs("soon", kNowMs), std::nullopt);
  EXPECT_EQ(ParseRetryAfterMs("", kNowMs), std::nullopt);
  EXPECT_EQ(ParseRetryAfterMs("-5", kNowMs).value_or(0), 0);
}

TEST(Backoff, CeilingDoublesAndJitterFillsIt) {
  Backoff backoff(7);
  RetryPolicy policy;
  policy.backoff_first_ms = 100;
  policy.backoff_max_ms = 350;
  const int64_t ceilings[] = {100, 200, 350, 350};
  for (int attempts = 1; attempts <= 4; ++attempts) {
    int64_t lowest = 1'000'000;
    int64_t highest = -1;
    for (int i = 0; i < 2000; ++i) {
      const int64_t delay_ms = backoff.DelayMs(policy, attempts);
      lowest = std::min(lowest, delay_ms);
      highest = std::max(highest, delay_ms);
    }
    const int64_t ceiling = ceilings[attempts - 1];
    EXPECT_LE(highest, ceiling);
    EXPECT_GE(highest, ceiling * 9 / 10);
    EXPECT_GE(lowest, 0);
    EXPECT_LE(lowest, ceiling / 10);
  }
}

TEST(Backoff, SurvivesAbsurdPolicies) {
  Backoff backoff(7);
  RetryPolicy policy;
  policy.backoff_first_ms = -5;
  policy.backoff_max_ms = -1;
  EXPECT_EQ(backoff.DelayMs(policy, 3), 0);
  policy.backoff_first_ms = 1;
  policy.backoff_max_ms = INT64_MAX;
  EXPECT_GE(backoff.DelayMs(policy, 1000), 0);
}

TEST(Backoff, TheSameSeedGivesTheSameWaits) {
  Backoff one(42);
  Backoff other(42);
  for (int i = 1; i < 10; ++i)
    EXPECT_EQ(one.DelayMs(RetryPolicy(), i), other.DelayMs(RetryPolicy(), i));
}

TEST(RetryableStatus, OnlyWhatMayPass) {
  RetryPolicy policy;
  for (const int status : {429, 500, 502, 503, 504}) EXPECT_TRUE(IsRetryableStatus(status, policy));
  for (const int status : {200, 304, 400, 401, 403, 404, 501})
    EXPECT_FALSE(IsRetryableStatus(status, policy));
  policy.retry_status_500 = false;
  EXPECT_FALSE(IsRetryableStatus(500, policy));
}

}  // namespace
}  // namespace tciafs::http
