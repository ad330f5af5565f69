// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Passthrough: an OPEN answered with a cache file (a "backing file"), which the kernel then reads
// by itself. Needs libfuse 3.17, Linux 6.9 and CAP_SYS_ADMIN; without one of them this does
// nothing.
//
// The difficulty: all open handles of a node are read in the same way, and through the same backing
// file, or the kernel fails the open with EIO. So the first handle of a node decides for those that
// come while it is open; a node counts as open from before its OPEN is answered until its RELEASE
// has come, which is longer than the kernel sees it open.
//
// When the kernel refuses a backing file, none is offered again: what it refuses for (privilege,
// the kind of the cache's disk) stays as it is. Thread-safe. The mutex is held while the kernel is
// given a file, which waits for nothing.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <atomic>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::fuse {

class Passthrough {
 public:
  // The two calls of the kernel's; tests give their own. `open` gives an id, 0 if it is refused.
  struct Kernel {
    std::function<int(fuse_req_t, int fd)> open;
    std::function<void(fuse_req_t, int id)> close;
  };
  explicit Passthrough(bool allowed);
  Passthrough(bool allowed, Kernel kernel) : allowed_(allowed), kernel_(std::move(kernel)) {}

  // In INIT: asks the kernel for it where it can be had. True if it could be: then OPEN must be
  // asked for.
  bool Negotiate(fuse_conn_info& connection);
  // The part of Negotiate that decides; for tests.
  void Start() { started_ = true; }

  // One more handle of the node, before its OPEN is answered with `request`: the id of the backing
  // file it is to be read through, 0 if we are to be asked. `backing` offers a file, and is called
  // only if nothing is decided yet.
  int Enter(fuse_req_t request, vfs::NodeId node,
            const std::function<Result<vfs::BackingReply>()>& backing);
  // One less. Without a request (it has been answered) the kernel hears of it with a later one.
  void Leave(fuse_req_t request, vfs::NodeId node);

 private:
  struct OpenNode {
    int64_t handles = 0;
    int id = 0;
    std::shared_ptr<cache::InstanceFile> file;  // of the id
  };

  int Decide(fuse_req_t request, Result<vfs::BackingReply>& backing, OpenNode& node)
      TCIAFS_REQUIRES(mutex_);

  const bool allowed_;
  const Kernel kernel_;
  std::atomic<bool> started_ = false;
  std::atomic<bool> refused_ = false;

  Mutex mutex_;
  std::unordered_map<vfs::NodeId, OpenNode> nodes_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<int> left_ TCIAFS_GUARDED_BY(mutex_);  // ids the kernel is to be told of
};

// Fills in the answer to an OPEN with an id that Enter gave. One that wants O_DIRECT is asked of us
// read by read, though its node has a backing file: the cache's disk would want aligned reads.
void SetBacking(int id, fuse_file_info& opened);

}  // namespace tciafs::fuse
