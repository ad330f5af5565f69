// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <vector>

namespace tciafs {
namespace {

TEST(Strand, RunsInOrderOnAPoolOfMany) {
  WorkerPool pool("test", 4);
  auto strand = Strand::Create(pool);
  std::vector<int> order;  // unguarded on purpose: the strand is the guard
  std::latch done(1);
  for (int i = 0; i < 1000; ++i) strand->Post([&order, i] { order.push_back(i); });
  strand->Post([&done] { done.count_down(); });
  done.wait();
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

TEST(TimerThread, RunsInTheOrderOfTheirTimes) {
  TimerThread timers;
  std::vector<int> order;
  std::latch done(1);
  timers.After(40, [&] {
    order.push_back(2);
    done.count_down();
  });
  timers.After(5, [&] { order.push_back(1); });
  done.wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(TimerThread, CancelledDoesNotRun) {
  TimerThread timers;
  std::atomic<bool> ran = false;
  std::latch later(1);
  const auto id = timers.After(20, [&] { ran = true; });
  timers.Cancel(id);
  timers.After(40, [&] { later.count_down(); });
  later.wait();
  EXPECT_FALSE(ran);
}

TEST(TimerThread, DestructionDropsWhatIsNotDue) {
  bool ran = false;
  {
    TimerThread timers;
    timers.After(60'000, [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace tciafs
