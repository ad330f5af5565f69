// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Lets callbacks that may come late (from a source, a timer, an executor) touch their owner only
// while it lives: whatever enters takes a Pass first and does nothing if it gets none. Close
// refuses new passes, WaitUntilEmpty waits for those under way and must not be called from inside
// one. Passes nest. Thread-safe; guarded functions may outlive the gate.
#pragma once

#include <memory>
#include <utility>

#include "tciafs/util/mutex.h"

namespace tciafs {

class Gate {
 private:
  struct State {
    Mutex mutex;
    CondVar idle;
    int passes TCIAFS_GUARDED_BY(mutex) = 0;
    bool closed TCIAFS_GUARDED_BY(mutex) = false;
  };

 public:
  class Pass {
   public:
    explicit Pass(const Gate& gate) : Pass(gate.state_) {}
    explicit Pass(std::shared_ptr<State> state) : state_(std::move(state)) {
      MutexLock lock(state_->mutex);
      entered_ = !state_->closed;
      if (entered_) ++state_->passes;
    }
    ~Pass() {
      if (!entered_) return;
      MutexLock lock(state_->mutex);
      if (--state_->passes == 0) state_->idle.NotifyAll();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    explicit operator bool() const { return entered_; }

   private:
    const std::shared_ptr<State> state_;
    bool entered_ = false;
  };

  Gate() : state_(std::make_shared<State>()) {}

  // A function returning nothing.
  template <typename Function>
  auto Guard(Function function) const {
    return [state = state_, function = std::move(function)](auto&&... arguments) mutable {
      const Pass pass(state);
      if (pass) function(std::forward<decltype(arguments)>(arguments)...);
    };
  }
  // A function returning a value; `closed` is the answer once the gate is closed.
  template <typename Value, typename Function>
  auto GuardOr(Value closed, Function function) const {
    return [state = state_, closed = std::move(closed),
            function = std::move(function)](auto&&... arguments) mutable -> Value {
      const Pass pass(state);
      return pass ? function(std::forward<decltype(arguments)>(arguments)...) : closed;
    };
  }

  void Close() {
    MutexLock lock(state_->mutex);
    state_->closed = true;
  }
  void WaitUntilEmpty() {
    MutexLock lock(state_->mutex);
    while (state_->passes > 0) state_->idle.Wait(state_->mutex);
  }

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace tciafs
