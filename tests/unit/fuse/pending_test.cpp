// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Without a mount: what libfuse would be told is written down instead.
#include "fuse/pending.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <map>

namespace {

std::map<fuse_req_t, int>& Answers() {
  static std::map<fuse_req_t, int> answers;
  return answers;
}

}  // namespace

// In place of libfuse's, which take requests of a session's only.
extern "C" int fuse_reply_err(fuse_req_t request, int error_number) {
  Answers().emplace(request, error_number);
  return 0;
}
extern "C" void fuse_req_interrupt_func(fuse_req_t, fuse_interrupt_func_t, void*) {}

namespace tciafs::fuse {
namespace {

class PendingTest : public ::testing::Test {
 protected:
  void SetUp() override { Answers().clear(); }
  static fuse_req_t Request(uintptr_t number) {
    return reinterpret_cast<fuse_req_t>(number * sizeof(void*));
  }
};

TEST_F(PendingTest, EndsAtItsLimitUntilARequestIsAnswered) {
  PendingTable table(3);
  std::vector<std::shared_ptr<Pending>> pending;
  for (uintptr_t i = 1; i <= 3; ++i) pending.push_back(table.Add(Request(i)));
  for (const auto& request : pending) EXPECT_NE(request, nullptr);
  EXPECT_EQ(table.Add(Request(4)), nullptr);
  EXPECT_TRUE(Answers().empty()) << "the caller answers";
  pending[0]->Fail(EIO);
  EXPECT_EQ(Answers().at(Request(1)), EIO);
  EXPECT_NE(table.Add(Request(4)), nullptr);
  EXPECT_EQ(table.Add(Request(5)), nullptr);
}

TEST_F(PendingTest, OneAnswerEach) {
  PendingTable table;
  const auto pending = table.Add(Request(1));
  table.Interrupt(Request(1));
  EXPECT_EQ(Answers().at(Request(1)), EINTR);
  EXPECT_TRUE(pending->stop_token().stop_requested());
  EXPECT_EQ(pending->Claim(), nullptr);
  const auto left = table.Add(Request(2));
  table.Close(ENOTCONN);
  EXPECT_EQ(Answers().at(Request(2)), ENOTCONN);
  table.Add(Request(3));
  EXPECT_EQ(Answers().at(Request(3)), ENOTCONN) << "and whatever comes later";
  EXPECT_EQ(left->Claim(), nullptr);
}

// What a burst of readers costs before any of them gets an answer.
TEST_F(PendingTest, TenThousandAreStoppedAtOnce) {
  PendingTable table;
  std::vector<std::shared_ptr<Pending>> pending;
  for (uintptr_t i = 1; i <= 10'000; ++i) pending.push_back(table.Add(Request(i)));
  table.Close(ENOTCONN);
  EXPECT_EQ(Answers().size(), 10'000u);
  for (const auto& request : pending) EXPECT_TRUE(request->stop_token().stop_requested());
}

}  // namespace
}  // namespace tciafs::fuse
