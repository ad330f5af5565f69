// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Single images without a sum: one that was cut short on its way looks like any other.
#include <gtest/gtest.h>

#include "fetcher_fixture.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;
using ::tciafs::testing::Md5Of;

class SingleImageTest : public testing::FetcherFixture {
 protected:
  // Two of four images, of three bytes each, lack; both are wanted.
  void DeliverHalf() {
    b_ = Read(target_, "b");
    c_ = Read(target_, "c");
    ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
    ASSERT_TRUE(source_.stream(0).Send("x", "xxx"));
    End(source_.stream(0));
  }
  void Refused(size_t single, const std::string& bytes) {
    const auto& call = source_.single(single);
    const Status ended = call.SendWithoutSum(call.single->text(), bytes);
    ASSERT_FALSE(ended);
    Break(call, ended.error().code, ended.error().message);
  }
  const SeriesTarget target_ = Target(4, 12);
  ::tciafs::testing::AnswerPtr b_;
  ::tciafs::testing::AnswerPtr c_;
};

TEST_F(SingleImageTest, IsNotBelievedWithoutAnything) {
  DeliverHalf();
  // The last of the stream was fetched, too, lest it was cut short: the same bytes prove it.
  for (size_t i = 0; i < source_.singles(); ++i) {
    const auto& call = source_.single(i);
    if (call.single->text() != "x") {
      Refused(i, "yy");
      continue;
    }
    ASSERT_TRUE(call.SendWithoutSum("x", "xxx"));
    End(call);
  }
  ASSERT_EQ(source_.streams(), 2u) << "whose entries have checksums";
  for (const std::string sop : {"a", "x", "b", "c"})
    ASSERT_TRUE(source_.stream(1).Send(sop, sop + sop + sop));
  End(source_.stream(1));
  EXPECT_TRUE(b_->ok() && c_->ok());
  EXPECT_EQ(cache_.Text(Key(target_), SopUid("b")), "bbb");
}

TEST_F(SingleImageTest, IsBelievedInItsListedSize) {
  source_.set_instances({"a", "b", "c", "x"});
  source_.set_sizes({{"b", 3}, {"c", 3}});
  DeliverHalf();
  const size_t first = source_.singles();
  for (size_t i = 0; i < first; ++i) Refused(i, "y");
  EXPECT_EQ(source_.listings(), 1);
  ASSERT_EQ(source_.singles(), first + 2);
  for (size_t i = first; i < first + 2; ++i) {
    const auto& call = source_.single(i);
    const std::string sop = call.single->text();
    ASSERT_TRUE(call.SendWithoutSum(sop, sop + sop + sop));
    End(call);
  }
  EXPECT_TRUE(b_->ok() && c_->ok());
}

TEST_F(SingleImageTest, TheOnlyOneThatLacksIsKnownByWhatItAddsUpTo) {
  const auto target = Target(2, 6);
  const auto c = Read(target, "c");
  source_.stream(0).Expect("a", Md5Of("aaa"));
  ASSERT_TRUE(source_.stream(0).Send("a", "aaa"));
  End(source_.stream(0));
  Refused(0, "cc");
  ASSERT_TRUE(source_.stream(1).Send("a", "aaa"));
  End(source_.stream(1));
  EXPECT_TRUE(c->failed(Errc::kUnavailable));

  Pass(options_.failure_memory_ms);
  const auto again = Read(target, "c");
  ASSERT_EQ(source_.singles(), 2u);
  ASSERT_TRUE(source_.single(1).SendWithoutSum("c", "ccc"));
  End(source_.single(1));
  EXPECT_TRUE(again->ok());
}

}  // namespace
}  // namespace tciafs::fetch
