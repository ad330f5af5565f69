// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/hash.h"

#include <gtest/gtest.h>

namespace tciafs {
namespace {

// RFC 1321, appendix A.5.
TEST(Md5, KnownSums) {
  EXPECT_EQ(Md5().FinishHex(), "d41d8cd98f00b204e9800998ecf8427e");
  Md5 md5;
  md5.Update(AsBytes("message "));
  md5.Update(AsBytes("digest"));
  EXPECT_EQ(md5.FinishHex(), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(Xxh3, KnownValueAndSeed) {
  EXPECT_EQ(Xxh3({}), 0x2d06800538d394c2u);  // XXH3_64bits of nothing
  EXPECT_NE(Xxh3(AsBytes("a"), 1), Xxh3(AsBytes("a"), 2));
  EXPECT_NE(Xxh3Wide(AsBytes("a")), Xxh3Wide(AsBytes("b")));
}

}  // namespace
}  // namespace tciafs
