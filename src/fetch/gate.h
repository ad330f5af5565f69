// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Gate: how Shutdown can promise that nothing runs any more. Whatever enters the fetch layer from
// outside (a sink's method, a task, a timer, a stop request) takes a Pass first and does nothing if
// it gets none; Close refuses new ones, WaitUntilEmpty waits for those inside. Passes nest.
// Thread-safe. Whoever waits must not be inside.
#pragma once

#include <cstddef>

#include "tciafs/util/mutex.h"

namespace tciafs::fetch {

class Gate {
 public:
  class Pass {
   public:
    explicit Pass(Gate& gate) : gate_(gate), inside_(gate.Enter()) {}
    ~Pass() {
      if (inside_) gate_.Leave();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    explicit operator bool() const { return inside_; }

   private:
    Gate& gate_;
    const bool inside_;
  };

  void Close() {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  void WaitUntilEmpty() {
    MutexLock lock(mutex_);
    while (inside_ > 0) empty_.Wait(mutex_);
  }

 private:
  bool Enter() {
    MutexLock lock(mutex_);
    if (!closed_) ++inside_;
    return !closed_;
  }
  void Leave() {
    MutexLock lock(mutex_);
    if (--inside_ == 0) empty_.NotifyAll();
  }

  Mutex mutex_;
  CondVar empty_;
  size_t inside_ TCIAFS_GUARDED_BY(mutex_) = 0;
  bool closed_ TCIAFS_GUARDED_BY(mutex_) = false;
};

}  // namespace tciafs::fetch
