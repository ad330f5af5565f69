// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What other threads ask of the network thread, in order. Thread-safe. Transfer handles may outlive
// the transport, so the queue is shared and knows when the loop behind it is gone: from then on
// commands are dropped.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tciafs/util/mutex.h"

namespace tciafs::http {

class OngoingTransfer;

struct Command {
  enum class Kind { kStart, kCancel, kResume };
  Kind kind = Kind::kStart;
  uint64_t id = 0;
  std::shared_ptr<OngoingTransfer> transfer = nullptr;  // for kStart
};

class CommandQueue {
 public:
  explicit CommandQueue(CURLM* multi) : multi_(multi) {}

  void Post(Command command);
  std::vector<Command> Take();

  // Asks the loop to end.
  void Stop();
  bool stopping() const;

  // The loop has ended and `multi` is about to go.
  void Close();

 private:
  void WakeLoop() TCIAFS_REQUIRES(mutex_);

  mutable Mutex mutex_;
  CURLM* multi_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<Command> commands_ TCIAFS_GUARDED_BY(mutex_);
  bool stopping_ TCIAFS_GUARDED_BY(mutex_) = false;
};

}  // namespace tciafs::http
