// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/source/records.h"

#include <gtest/gtest.h>

namespace tciafs::source {
namespace {

TEST(SameVersion, ComparesTimestampsToTheirCommonPrecision) {
  const SeriesVersion to_the_second{"2015-05-27T17:12:21", 48, 1000};
  EXPECT_TRUE(SameVersion(to_the_second, {"2015-05-27", 48, 1000}));
  EXPECT_FALSE(SameVersion(to_the_second, {"2015-05-28", 48, 1000}));
  EXPECT_FALSE(SameVersion(to_the_second, {"2015-05-27T17:12:22", 48, 1000}));
  EXPECT_TRUE(SameVersion(to_the_second, {"", 48, 1000}));
}

TEST(SameVersion, UnknownFieldsDoNotDiffer) {
  EXPECT_TRUE(SameVersion({"2015-05-27", -1, -1}, {"2015-05-27", 48, 1000}));
  EXPECT_FALSE(SameVersion({"2015-05-27", 47, -1}, {"2015-05-27", 48, 1000}));
  EXPECT_FALSE(SameVersion({"2015-05-27", 48, 999}, {"2015-05-27", 48, 1000}));
}

}  // namespace
}  // namespace tciafs::source
