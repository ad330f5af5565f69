// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Time and threads under the test's control: a clock that moves when told, an executor that runs
// when told, a scheduler that follows the clock. None is thread-safe unless it says so.
#pragma once

#include <stdlib.h>

#include <atomic>
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::testing {

// Thread-safe.
class FakeClock final : public Clock {
 public:
  int64_t MonotonicMs() const override { return now_ms_; }
  int64_t UnixMs() const override { return kEpochMs + now_ms_ + jumped_ms_; }
  void Advance(int64_t ms) { now_ms_ += ms; }
  void JumpUnix(int64_t ms) { jumped_ms_ += ms; }  // somebody sets the wall clock

 private:
  static constexpr int64_t kEpochMs = 1'700'000'000'000;
  std::atomic<int64_t> now_ms_{1'000'000};
  std::atomic<int64_t> jumped_ms_{0};
};

class ManualExecutor final : public Executor {
 public:
  void Post(Task task) override { queue_.push_back(std::move(task)); }
  // Runs until nothing is left, tasks posted meanwhile included.
  void RunAll() {
    while (!queue_.empty()) {
      Task task = std::move(queue_.front());
      queue_.pop_front();
      task();
    }
  }
  size_t pending() const { return queue_.size(); }

 private:
  std::deque<Task> queue_;
};

class ManualScheduler final : public Scheduler {
 public:
  explicit ManualScheduler(FakeClock& clock) : clock_(clock) {}
  TimerId After(int64_t delay_ms, Task task) override {
    const TimerId id = next_id_++;
    timers_.emplace(std::pair{clock_.MonotonicMs() + delay_ms, id}, std::move(task));
    return id;
  }
  void Cancel(TimerId id) override {
    for (auto timer = timers_.begin(); timer != timers_.end(); ++timer) {
      if (timer->first.second != id) continue;
      timers_.erase(timer);
      return;
    }
  }
  // Moves the clock, running what falls due on the way in its order.
  void Advance(int64_t ms) {
    const int64_t end_ms = clock_.MonotonicMs() + ms;
    while (!timers_.empty() && timers_.begin()->first.first <= end_ms) {
      auto timer = timers_.extract(timers_.begin());
      clock_.Advance(std::max<int64_t>(timer.key().first - clock_.MonotonicMs(), 0));
      timer.mapped()();
    }
    clock_.Advance(end_ms - clock_.MonotonicMs());
  }
  size_t pending() const { return timers_.size(); }

 private:
  FakeClock& clock_;
  std::map<std::pair<int64_t, TimerId>, Task> timers_;
  TimerId next_id_ = 1;
};

// A directory of the test's own, removed at the end.
class TempDirectory {
 public:
  TempDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tciafs-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data()) != nullptr ? pattern : std::string();
  }
  ~TempDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace tciafs::testing
