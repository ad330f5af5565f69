// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A caller who waits: its callback is called exactly once, with the answer or, if its stop token
// is asked to stop first, with kCancelled. The request behind it knows nothing of the stop.
// Thread-safe; shared by whoever may finish it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "tciafs/util/result.h"

namespace tciafs::catalog {

template <typename T>
class Waiter {
 public:
  static std::shared_ptr<Waiter> Create(std::stop_token stop, Callback<T> done) {
    auto waiter = std::make_shared<Waiter>(std::move(done));
    if (stop.stop_possible()) waiter->on_stop_.emplace(std::move(stop), OnStop{waiter});
    return waiter;
  }
  explicit Waiter(Callback<T> done) : done_(std::move(done)) {}

  void Finish(Result<T> result) {
    if (finished_.exchange(true)) return;
    const Callback<T> done = std::move(done_);
    done(std::move(result));
  }
  bool finished() const { return finished_; }

 private:
  struct OnStop {
    std::weak_ptr<Waiter> waiter;
    void operator()() const {
      // The copy keeps the waiter alive past its callback, which may drop the last other owner.
      if (const auto self = waiter.lock()) self->Finish(Fail(Errc::kCancelled, "interrupted"));
    }
  };

  std::atomic<bool> finished_ = false;
  Callback<T> done_;
  std::optional<std::stop_callback<OnStop>> on_stop_;
};

}  // namespace tciafs::catalog
