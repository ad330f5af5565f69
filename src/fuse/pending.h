// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A request the kernel waits for, as an object: whoever finishes the work answers it, from any
// thread; an interrupt (Ctrl-C) or the end of the session answers it first, at once, and tells the
// work to stop. Exactly one answer is sent; a later one is told so, to take back what it was about
// to give.
//
// Thread-safe. libfuse may call the interrupt function while the answer is being sent on another
// thread; it keeps the request's memory meanwhile, so looking the request up by its address is
// safe.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <atomic>
#include <memory>
#include <stop_token>
#include <unordered_map>

#include "fuse/limits.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/result.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::fuse {

class PendingTable;

class Pending {
 public:
  Pending(PendingTable& table, fuse_req_t request, int64_t pid)
      : table_(table), request_(request), pid_(pid) {}
  std::stop_token stop_token() const { return stop_.get_token(); }
  vfs::Asker asker() const { return {stop_.get_token(), pid_}; }

  // The right to answer: the request for the first caller, null for everybody after.
  fuse_req_t Claim();
  // Answers with an error number if nobody has answered yet.
  void Fail(int error_number);
  // Answers with `error_number` and stops the work behind it.
  void Abort(int error_number);

 private:
  friend class PendingTable;
  PendingTable& table_;
  fuse_req_t const request_;
  const int64_t pid_;
  // Under the table's mutex. Armed: libfuse has been given our interrupt function, and is done with
  // the request until somebody answers.
  bool armed_ = false;
  bool interrupted_ = false;
  std::atomic<bool> answered_ = false;
  std::stop_source stop_;
};

class PendingTable {
 public:
  explicit PendingTable(size_t pending_max = kPendingMax) : pending_max_(pending_max) {}

  // Takes charge of a request and of its interrupts. Null if there are too many: the caller
  // answers.
  std::shared_ptr<Pending> Add(fuse_req_t request, int64_t asking_pid = 0);
  void Remove(fuse_req_t request);
  void Interrupt(fuse_req_t request);
  // Aborts all, and every later one at once.
  void Close(int error_number);

 private:
  const size_t pending_max_;
  Mutex mutex_;
  std::unordered_map<fuse_req_t, std::shared_ptr<Pending>> pending_ TCIAFS_GUARDED_BY(mutex_);
  int closed_error_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::fuse
