// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/text.h"

#include <gtest/gtest.h>

#include "tciafs/util/limits.h"

namespace tciafs {
namespace {

TEST(ParseSizeBytes, TakesSuffixesOfPowersOf1024) {
  EXPECT_EQ(ParseSizeBytes("512").value(), 512);
  EXPECT_EQ(ParseSizeBytes("64K").value(), 65536);
  EXPECT_EQ(ParseSizeBytes("50G").value(), int64_t{50} << 30);
  EXPECT_EQ(ParseSizeBytes("1.5t").value(), (int64_t{3} << 40) / 2);
  EXPECT_EQ(ParseSizeBytes("10 MiB").value(), 10 << 20);
  EXPECT_EQ(ParseSizeBytes("10MB").value(), 10 << 20);
}

TEST(ParseSizeBytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "ten", "-1", "5X", "5GG", "nan", "inf", "1e400", "99999999P"})
    EXPECT_EQ(ParseSizeBytes(text).error().code, Errc::kInvalidArgument) << text;
}

TEST(ParseDurationMs, TakesUnits) {
  EXPECT_EQ(ParseDurationMs("250ms").value(), 250);
  EXPECT_EQ(ParseDurationMs("30").value(), 30'000);
  EXPECT_EQ(ParseDurationMs("30s").value(), 30'000);
  EXPECT_EQ(ParseDurationMs("10m").value(), 600'000);
  EXPECT_EQ(ParseDurationMs("6h").value(), 21'600'000);
  EXPECT_EQ(ParseDurationMs("7d").value(), 604'800'000);
  EXPECT_FALSE(ParseDurationMs("6w").has_value());
  EXPECT_FALSE(ParseDurationMs("h").has_value());
}

TEST(ParseSizeBytes, EndsAtItsLimit) {
  EXPECT_EQ(ParseSizeBytes("1024P").value(), kSizeBytesMax);
  EXPECT_EQ(ParseSizeBytes("1152921504606848000").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(ParseSizeBytes("1025P").error().code, Errc::kInvalidArgument);
}

TEST(ParseDurationMs, EndsAtItsLimit) {
  EXPECT_EQ(ParseDurationMs("36525d").value(), kDurationMaxMs);
  EXPECT_EQ(ParseDurationMs("3155760000001ms").error().code, Errc::kInvalidArgument);
  EXPECT_EQ(ParseDurationMs("36526d").error().code, Errc::kInvalidArgument);
}

TEST(UrlEncode, KeepsOnlyUnreserved) {
  EXPECT_EQ(UrlEncode("CT Lymph/Nodes+&%"), "CT%20Lymph%2FNodes%2B%26%25");
  EXPECT_EQ(UrlEncode("1.2.3-a_b~c"), "1.2.3-a_b~c");
}

TEST(FormatSize, PicksAUnit) {
  EXPECT_EQ(FormatSize(17), "17 B");
  EXPECT_EQ(FormatSize(1536), "1.5 KiB");
  EXPECT_EQ(FormatSize(int64_t{50} << 30), "50.0 GiB");
}

}  // namespace
}  // namespace tciafs
