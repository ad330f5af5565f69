// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/gate.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

namespace tciafs::fetch {
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

}  // namespace
}  // namespace tciafs::fetch
