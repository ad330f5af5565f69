// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Waits for what the layers below answer later. Only for threads that may block.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "tciafs/util/mutex.h"
#include "tciafs/util/result.h"

namespace tciafs::control {

// An answer on its way. `start` is given the callback and must see to it that it is called (a stop
// token sees to that early).
template <typename T>
class Awaited {
 public:
  explicit Awaited(const std::function<void(Callback<T>)>& start) {
    start([answer = answer_](Result<T> result) {
      MutexLock lock(answer->mutex);
      answer->result = std::make_unique<Result<T>>(std::move(result));
      answer->arrived.NotifyAll();
    });
  }
  Result<T> Get() {  // once
    MutexLock lock(answer_->mutex);
    while (answer_->result == nullptr) answer_->arrived.Wait(answer_->mutex);
    return std::move(*answer_->result);
  }

 private:
  struct Answer {
    Mutex mutex;
    CondVar arrived;
    std::unique_ptr<Result<T>> result TCIAFS_GUARDED_BY(mutex);
  };
  const std::shared_ptr<Answer> answer_ = std::make_shared<Answer>();
};

template <typename T>
Result<T> Await(const std::function<void(Callback<T>)>& start) {
  return Awaited<T>(start).Get();
}

}  // namespace tciafs::control
