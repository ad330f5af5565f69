// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Tells the kernel what it may no longer believe, on threads of its own: a notification can wait
// for a lock that a request holds which waits for us, so it must never come from inside a request.
// Names have one for themselves, since theirs is the lock of a lookup, which may wait for the
// archive. Thread-safe. Close before the session is destroyed; what was not told by then is
// dropped.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <deque>
#include <thread>

#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::fuse {

// Gives the kernel bytes of a node. 0, or -errno.
int StorePages(fuse_session* session, vfs::NodeId node, int64_t offset,
               const cache::FileRange& range);

class Invalidator {
 public:
  explicit Invalidator(fuse_session* session);
  ~Invalidator();
  void Post(const vfs::Invalidation& invalidation);
  void Close();

 private:
  // Tells in order.
  class Teller {
   public:
    explicit Teller(fuse_session* session);
    void Post(const vfs::Invalidation& invalidation);
    void Stop();
    void Join();

   private:
    void Run();

    fuse_session* const session_;
    Mutex mutex_;
    CondVar wake_;
    std::deque<vfs::Invalidation> queue_ TCIAFS_GUARDED_BY(mutex_);
    bool closed_ TCIAFS_GUARDED_BY(mutex_) = false;
    Mutex join_mutex_;
    std::thread thread_ TCIAFS_GUARDED_BY(join_mutex_);
  };

  Teller names_;
  Teller nodes_;
};

}  // namespace tciafs::fuse
