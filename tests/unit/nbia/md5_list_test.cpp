// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/md5_list.h"

#include <gtest/gtest.h>

namespace tciafs::nbia {
namespace {

TEST(Md5List, ReadsLinesInAnyOrderAndLeavesRubbishOut) {
  Md5List list;
  ASSERT_TRUE(
      list.Append("Filename,MD5Hash\r\n00000002.dcm,D41D8CD98F00B204E9800998ECF8427E\n0000"));
  ASSERT_TRUE(list.Append("0001.dcm,0cc175b9c0f1b6a831c399e269772661\nbad.dcm,null\n\nx\n"));
  const auto sums = list.Parse();
  ASSERT_EQ(sums.size(), 2u);
  EXPECT_EQ(sums.at("00000001.dcm"), "0cc175b9c0f1b6a831c399e269772661");
  EXPECT_EQ(sums.at("00000002.dcm"), "d41d8cd98f00b204e9800998ecf8427e");
}

TEST(Md5List, ANameWithTwoSumsHasNone) {
  Md5List list;
  ASSERT_TRUE(
      list.Append("a,0cc175b9c0f1b6a831c399e269772661\na,d41d8cd98f00b204e9800998ecf8427e\n"));
  EXPECT_TRUE(list.Parse().empty());
}

TEST(Md5List, IsBounded) {
  Md5List list;
  const std::string piece(16 << 20, 'x');
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(list.Append(piece));
  EXPECT_FALSE(list.Append("x"));
}

}  // namespace
}  // namespace tciafs::nbia
