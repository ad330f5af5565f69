// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <utility>
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

// Destroys a pool of one thread while a task holds that thread, and lets go once the pool takes no
// more tasks: `post` ran before, and what it posted is dropped.
void DestroyBehind(const std::function<void(WorkerPool&)>& post) {
  auto owned = std::make_unique<WorkerPool>("test", 1);
  WorkerPool* const pool = owned.get();
  std::latch running(1);
  std::latch held(1);
  pool->Post([&] {
    running.count_down();
    held.wait();
  });
  running.wait();
  post(*pool);
  std::thread ending([&owned] { owned.reset(); });
  for (bool taken = true; taken;) {
    auto token = std::make_shared<int>();
    const std::weak_ptr<int> seen = token;
    pool->Post([token = std::move(token)] {});
    taken = !seen.expired();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  held.count_down();
  ending.join();
}

// A task that owns its strand goes with the executor.
TEST(Strand, IsDroppedWithItsExecutor) {
  std::weak_ptr<Strand> seen;
  DestroyBehind([&](WorkerPool& pool) {
    auto strand = Strand::Create(pool);
    seen = strand;
    for (int i = 0; i < 3; ++i) strand->Post([strand] {});
  });
  EXPECT_TRUE(seen.expired());
}

TEST(Strand, TakesTasksWhileItIsDropped) {
  std::weak_ptr<Strand> seen;
  bool dropped = false;
  DestroyBehind([&](WorkerPool& pool) {
    auto strand = Strand::Create(pool);
    seen = strand;
    const std::shared_ptr<bool> posts(&dropped, [strand](bool* told) {
      *told = true;
      strand->Post([strand] {});
    });
    strand->Post([posts] {});
  });
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(seen.expired());
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
