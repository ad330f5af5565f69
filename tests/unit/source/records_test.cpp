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

// printf 'SUM1SUM2' | md5sum, of the sums in ascending order.
TEST(SeriesMd5, IsThatOfTheSortedSums) {
  const std::string empty = "d41d8cd98f00b204e9800998ecf8427e";
  const std::string a = "0cc175b9c0f1b6a831c399e269772661";
  EXPECT_EQ(SeriesMd5({empty, a}), "dcb735a2965ccc1fd0893307fd61b78a");
  EXPECT_EQ(SeriesMd5({a, empty}), SeriesMd5({empty, a}));
  EXPECT_EQ(SeriesMd5({a}), "d7afde3e7059cd0a0fe09eec4b0008cd");
}

}  // namespace
}  // namespace tciafs::source
