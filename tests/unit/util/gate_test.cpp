// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/gate.h"

#include <gtest/gtest.h>

#include <functional>
#include <latch>
#include <thread>

namespace tciafs {
namespace {

TEST(Gate, RefusesOnceClosed) {
  Gate gate;
  EXPECT_TRUE(Gate::Pass(gate));
  gate.Close();
  EXPECT_FALSE(Gate::Pass(gate));
  gate.WaitUntilEmpty();
}

TEST(Gate, WaitsForWhoeverIsInside) {
  Gate gate;
  std::latch inside(1);
  std::latch leave(1);
  bool left = false;  // unguarded on purpose: the gate is the guard
  std::thread visitor([&] {
    const Gate::Pass pass(gate);
    inside.count_down();
    leave.wait();
    left = true;
  });
  inside.wait();
  gate.Close();
  leave.count_down();
  gate.WaitUntilEmpty();
  EXPECT_TRUE(left);
  visitor.join();
}

TEST(Gate, GuardedFunctionsDoNothingOnceClosedAndMayOutliveIt) {
  int calls = 0;
  std::function<void()> guarded;
  std::function<int()> guarded_value;
  {
    Gate gate;
    guarded = gate.Guard([&calls] { ++calls; });
    guarded_value = gate.GuardOr(-1, [&calls] { return ++calls; });
    guarded();
    EXPECT_EQ(guarded_value(), 2);
    gate.Close();
  }
  guarded();
  EXPECT_EQ(guarded_value(), -1);
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace tciafs
