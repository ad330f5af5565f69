// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Answers that a fake gives when the test says so: a call is held until Release, or until its stop
// token fires, and is finished exactly once. Thread-safe; calls are finished with no lock held.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace tciafs::testing {

class HeldCalls {
 public:
  using Finish = std::function<void(bool cancelled)>;

  void Add(const std::stop_token& stop, Finish finish) {
    auto call = std::make_shared<Call>();
    call->finish = std::move(finish);
    {
      std::lock_guard lock(mutex_);
      calls_.push_back(call);
    }
    call->on_stop.emplace(stop, [weak = std::weak_ptr(call)] {
      if (const auto held = weak.lock()) held->End(true);
    });
  }
  void Release() {
    std::vector<std::shared_ptr<Call>> calls;
    {
      std::lock_guard lock(mutex_);
      calls.swap(calls_);
    }
    for (const auto& call : calls) call->End(false);
  }
  size_t waiting() const {
    std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const auto& call : calls_) count += call->ended ? 0 : 1;
    return count;
  }

 private:
  struct Call {
    Finish finish;
    std::atomic<bool> ended = false;
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
    void End(bool cancelled) {
      if (!ended.exchange(true)) finish(cancelled);
    }
  };
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Call>> calls_;
};

}  // namespace tciafs::testing
