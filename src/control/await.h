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

// `start` is given the callback and must see to it that it is called (a stop token sees to that
// early).
template <typename T>
Result<T> Await(const std::function<void(Callback<T>)>& start) {
  struct Answer {
    Mutex mutex;
    CondVar arrived;
    std::unique_ptr<Result<T>> result TCIAFS_GUARDED_BY(mutex);
  };
  const auto answer = std::make_shared<Answer>();
  start([answer](Result<T> result) {
    MutexLock lock(answer->mutex);
    answer->result = std::make_unique<Result<T>>(std::move(result));
    answer->arrived.NotifyAll();
  });
  MutexLock lock(answer->mutex);
  while (answer->result == nullptr) answer->arrived.Wait(answer->mutex);
  return std::move(*answer->result);
}

}  // namespace tciafs::control
