// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Single flight: many callers wait for one piece of work (a token, the probe of a server). Each
// waiter is answered exactly once: with the result, or with kCancelled as soon as its own stop
// token fires, while the work goes on for the others.
//
// Thread-safe. Callbacks run with no lock held, on the executor.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "tciafs/util/executor.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/result.h"

namespace tciafs::nbia {

template <typename T>
class SharedAnswer {
 public:
  explicit SharedAnswer(Executor& executor) : executor_(executor) {}

  // True: nobody is at it, the caller has to start the work that ends in Complete.
  bool Join(const std::stop_token& stop, Callback<T> done) {
    auto waiter = std::make_shared<Waiter>(executor_, std::move(done));
    bool first = false;
    {
      MutexLock lock(mutex_);
      waiters_.push_back(waiter);
      first = !std::exchange(under_way_, true);
    }
    waiter->stop.emplace(stop, Stop{waiter});
    return first;
  }

  void Complete(const Result<T>& result) {
    std::vector<std::shared_ptr<Waiter>> waiters;
    {
      MutexLock lock(mutex_);
      waiters.swap(waiters_);
      under_way_ = false;
    }
    for (const auto& waiter : waiters) waiter->Answer(result);
  }

 private:
  struct Waiter;
  struct Stop {
    std::weak_ptr<Waiter> waiter;
    void operator()() const {
      if (const auto self = waiter.lock())
        self->Answer(Fail(Errc::kCancelled, "the request was cancelled"));
    }
  };
  struct Waiter {
    Waiter(Executor& on, Callback<T> call) : executor(on), done(std::move(call)) {}
    void Answer(Result<T> result) {
      if (answered.exchange(true)) return;
      executor.Post([call = std::move(done), outcome = std::move(result)] { call(outcome); });
    }
    Executor& executor;
    Callback<T> done;  // moved from by whoever answers
    std::atomic<bool> answered = false;
    std::optional<std::stop_callback<Stop>> stop;
  };

  Executor& executor_;
  Mutex mutex_;
  std::vector<std::shared_ptr<Waiter>> waiters_ TCIAFS_GUARDED_BY(mutex_);
  bool under_way_ TCIAFS_GUARDED_BY(mutex_) = false;
};

}  // namespace tciafs::nbia
