// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/command_queue.h"

#include <utility>

#include "http/ongoing_transfer.h"

namespace tciafs::http {

void CommandQueue::Post(Command command) {
  MutexLock lock(mutex_);
  if (multi_ == nullptr) return;
  commands_.push_back(std::move(command));
  if (commands_.size() == 1) WakeLoop();
}

std::vector<Command> CommandQueue::Take() {
  MutexLock lock(mutex_);
  return std::exchange(commands_, {});
}

void CommandQueue::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  WakeLoop();
}

bool CommandQueue::stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

void CommandQueue::Close() {
  MutexLock lock(mutex_);
  multi_ = nullptr;
}

// Under the lock, so that the multi handle cannot go meanwhile; this only writes to a non-blocking
// socket of the process's own.
void CommandQueue::WakeLoop() {
  if (multi_ != nullptr) curl_multi_wakeup(multi_);
}

}  // namespace tciafs::http
