// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Many threads that acquire and interrupt at random, on real pools and timers; the seed is fixed.
// What must hold: every callback exactly once, one writer per series, nothing left behind.
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "support/fake_block_cache.h"
#include "tciafs/fetch/series_fetcher.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"
#include "unit/fetch/scripted_source.h"

namespace tciafs::fetch {
namespace {

using source::SopUid;
using testing::ScriptedCall;

constexpr int kSeries = 6;
constexpr int kInstances = 12;

std::string Sop(int i) { return "s" + std::to_string(i); }

SeriesTarget Target(int series) {
  SeriesTarget target;
  target.record.series = source::SeriesUid(std::to_string(series));
  target.record.version = {"2020-01-01", kInstances, kInstances * 4};
  return target;
}

// Plays a stream on the pool the way an archive of mixed quality would: whole, short, broken in the
// middle, one instance short of its bytes; stops when told.
class Archive {
 public:
  explicit Archive(Executor& executor) : executor_(executor) {}
  void Play(const ScriptedCall& call) {
    const unsigned mood = turns_++ % 5;
    executor_.Post([call, mood] {
      const Status status =
          call.single ? call.Send(call.single->text(), "full") : Instances(call, mood);
      if (!status) return call.sink->Done(status);
      if (mood == 3) return call.Fail(Errc::kUnavailable, "reset");
      call.Done();
    });
  }

 private:
  static Status Instances(const ScriptedCall& call, unsigned mood) {
    const int count = mood == 0 ? kInstances : kInstances - 2;
    for (int i = 0; i < count; ++i) {
      if (call.stop.stop_requested()) return Fail(Errc::kCancelled, "stopped");
      TCIAFS_TRY(call.Send(Sop(i), mood == 4 && i == 3 ? "cut" : "full"));
      std::this_thread::yield();
    }
    return {};
  }

  Executor& executor_;
  std::atomic<unsigned> turns_ = 0;
};

// Real threads, but nobody waits for seconds.
class HurriedScheduler final : public Scheduler {
 public:
  TimerId After(int64_t delay_ms, Task task) override {
    return timers_.After(delay_ms / 500, std::move(task));
  }
  void Cancel(TimerId id) override { timers_.Cancel(id); }

 private:
  TimerThread timers_;
};

struct Counts {
  std::atomic<int> asked = 0;
  std::atomic<int> answered = 0;
  std::atomic<int> twice = 0;
  std::atomic<int> odd_errors = 0;
};

template <typename T>
Callback<T> Counted(Counts& counts, std::shared_ptr<std::latch> answered) {
  ++counts.asked;
  auto calls = std::make_shared<std::atomic<int>>(0);
  return [&counts, calls, answered = std::move(answered)](const Result<T>& result) {
    if (++*calls > 1) return ++counts.twice, void();
    if (!result && result.error().code != Errc::kCancelled &&
        result.error().code != Errc::kUnavailable)
      ++counts.odd_errors;
    ++counts.answered;
    answered->count_down();
  };
}

// One reader: asks for instances, and now and then for a series; interrupts some at once and some a
// little later, keeps few.
void ReadAtRandom(unsigned seed, int rounds, Fetcher& fetcher, cache::BlockCache& cache,
                  Counts& counts) {
  std::mt19937 random(seed);
  std::vector<std::stop_source> later;
  for (int round = 0; round < rounds; ++round) {
    const auto target = Target(static_cast<int>(random() % kSeries));
    const auto sop = Sop(static_cast<int>(random() % kInstances));
    std::stop_source stop;
    auto answered = std::make_shared<std::latch>(1);
    if (random() % 4 == 0)
      fetcher.AcquireSeries(target, stop.get_token(), Counted<SeriesOutcome>(counts, answered));
    else
      fetcher.Acquire(target, SopUid(sop), stop.get_token(),
                      Counted<std::shared_ptr<cache::InstanceFile>>(counts, answered));
    switch (random() % 8) {
      case 0:
        stop.request_stop();
        break;
      case 1:
        later.push_back(stop);
        break;
      case 2:
        for (auto& one : later) one.request_stop();
        later.clear();
        break;
      case 3:
        static_cast<void>(cache.Evict({"main", target.record.series}));
        break;
      case 4:
        static_cast<void>(fetcher.Downloads());
        break;
      case 5:
        answered->wait();
        break;
      default:
        break;
    }
  }
}

void Storm(unsigned seed, bool shut_down_midway) {
  WorkerPool pool("fetch-test", 3);
  HurriedScheduler timers;
  SystemClock clock;
  testing::FakeBlockCache cache;
  Archive archive(pool);
  testing::ScriptedSource source("main");
  source.set_script([&](const ScriptedCall& call) { archive.Play(call); });
  std::vector<std::string> sops;
  for (int i = 0; i < kInstances; ++i) sops.push_back(Sop(i));
  source.set_instances(sops);
  Counts counts;
  FetchOptions options;
  options.linger_ms = 1;
  options.failure_memory_ms = 1;
  auto fetcher = CreateSeriesFetcher(options, {&source}, cache, clock, pool, timers);
  std::vector<std::thread> readers;
  std::latch halfway(4);
  for (unsigned i = 0; i < 4; ++i)
    readers.emplace_back([&, i] {
      ReadAtRandom(seed + i, 50, *fetcher, cache, counts);
      halfway.count_down();
      ReadAtRandom(seed + 100 + i, 50, *fetcher, cache, counts);
    });
  halfway.wait();
  if (shut_down_midway) fetcher->Shutdown();
  for (auto& reader : readers) reader.join();
  fetcher.reset();
  EXPECT_EQ(counts.asked, counts.answered);
  EXPECT_EQ(counts.twice, 0);
  EXPECT_EQ(counts.odd_errors, 0);
  EXPECT_EQ(cache.breaches(), 0);
  EXPECT_EQ(cache.open_writers(), 0);
}

TEST(FetchRace, EveryCallbackComesOnce) {
  for (unsigned seed = 1; seed <= 3; ++seed) Storm(seed, false);
}

TEST(FetchRace, AlsoWhenShutDownInTheMiddle) {
  for (unsigned seed = 11; seed <= 13; ++seed) Storm(seed, true);
}

TEST(FetchRace, ConcurrentReadersCauseOneStream) {
  WorkerPool pool("fetch-test", 3);
  TimerThread timers;
  SystemClock clock;
  testing::FakeBlockCache cache;
  testing::ScriptedSource source("main");
  source.set_script([&](const ScriptedCall& call) {
    pool.Post([call] {
      for (int i = 0; i < kInstances; ++i) static_cast<void>(call.Send(Sop(i), "full"));
      call.Done();
    });
  });
  auto fetcher = CreateSeriesFetcher({}, {&source}, cache, clock, pool, timers);
  constexpr int kReaders = 50;
  std::latch answered(kReaders);
  std::atomic<int> served = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i)
    readers.emplace_back([&, i] {
      fetcher->Acquire(Target(1), SopUid(Sop(i % kInstances)), {}, [&](auto result) {
        if (result) ++served;
        answered.count_down();
      });
    });
  for (auto& reader : readers) reader.join();
  answered.wait();
  EXPECT_EQ(served, kReaders);
  EXPECT_EQ(source.streams(), 1u);
}

}  // namespace
}  // namespace tciafs::fetch
