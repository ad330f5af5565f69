// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Tells the listener what the kernel has to drop: always from a task on the executor, since a
// notification sent from inside an operation can wait for the very page that operation is to fill.
// Thread-safe. The executor is borrowed; tasks that come after this object is gone do nothing.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "tciafs/util/executor.h"
#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::vfs {

class Invalidations : public std::enable_shared_from_this<Invalidations> {
 public:
  using Listener = std::function<void(const Invalidation&)>;

  explicit Invalidations(Executor& executor) : executor_(executor) {}

  // Returns when the earlier listener is not running any more.
  void SetListener(Listener listener);
  void Post(std::vector<Invalidation> invalidations);
  // Runs `then` when the kernel has been told, or nobody is there to tell it.
  void PostThen(Invalidation invalidation, Task then);

 private:
  void Deliver(const std::vector<Invalidation>& invalidations);

  Executor& executor_;

  Mutex mutex_;
  CondVar idle_;
  std::shared_ptr<const Listener> listener_ TCIAFS_GUARDED_BY(mutex_);
  size_t running_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::vfs
