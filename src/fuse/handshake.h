// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Whether kernel and file system have agreed on how to talk: the first request of a mount, before
// which no other comes. Thread-safe.
#pragma once

#include "tciafs/util/mutex.h"

namespace tciafs::fuse {

class Handshake {
 public:
  void Agreed() { Turn(State::kAgreed); }
  // Nothing is answered any more; what has ended well had been agreed on.
  void Ended(bool well) {
    if (!well || !HasAgreed()) Turn(State::kFailed);
  }
  // Waits for either.
  bool Await() {
    MutexLock lock(mutex_);
    while (state_ == State::kAwaited) changed_.Wait(mutex_);
    return state_ == State::kAgreed;
  }

 private:
  enum class State { kAwaited, kAgreed, kFailed };

  bool HasAgreed() {
    MutexLock lock(mutex_);
    return state_ == State::kAgreed;
  }
  void Turn(State state) {
    MutexLock lock(mutex_);
    state_ = state;
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  State state_ TCIAFS_GUARDED_BY(mutex_) = State::kAwaited;
};

}  // namespace tciafs::fuse
