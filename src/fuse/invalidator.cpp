// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/invalidator.h"

#include <utility>

namespace tciafs::fuse {

Invalidator::Invalidator(fuse_session* session) : session_(session), thread_([this] { Run(); }) {}

Invalidator::~Invalidator() { Close(); }

void Invalidator::Post(const vfs::Invalidation& invalidation) {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    queue_.push_back(invalidation);
  }
  wake_.NotifyOne();
}

void Invalidator::Close() {
  std::deque<vfs::Invalidation> dropped;  // goes without the lock: somebody may wait for its end
  {
    MutexLock lock(mutex_);
    closed_ = true;
    dropped.swap(queue_);
  }
  wake_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void Invalidator::Run() {
  for (;;) {
    vfs::Invalidation next;
    {
      MutexLock lock(mutex_);
      while (!closed_ && queue_.empty()) wake_.Wait(mutex_);
      if (closed_) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    Tell(next);
  }
}

// The kernel answers ENOENT for what it does not know any more; there is nothing to do about it.
void Invalidator::Tell(const vfs::Invalidation& invalidation) {
  switch (invalidation.kind) {
    case vfs::Invalidation::Kind::kEntry:
      fuse_lowlevel_notify_inval_entry(session_, invalidation.node, invalidation.name.data(),
                                       invalidation.name.size());
      return;
    case vfs::Invalidation::Kind::kDirectory:
    case vfs::Invalidation::Kind::kFile:
      fuse_lowlevel_notify_inval_inode(session_, invalidation.node, 0, 0);
      return;
  }
}

}  // namespace tciafs::fuse
