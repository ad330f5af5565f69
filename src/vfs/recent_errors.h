// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The last operations that failed because of the archive or of this machine, for status.json:
// bounded, newest first; the same failure of the same path is told once, with how often.
// Thread-safe; its mutex is a leaf. Times are unix milliseconds.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include "tciafs/util/mutex.h"
#include "tciafs/util/outcome_counters.h"
#include "tciafs/util/result.h"
#include "tciafs/vfs/status.h"

namespace tciafs::vfs {

class RecentErrors {
 public:
  // True for a failure that is worth telling: not for a name that does not exist, or an interrupt.
  static bool IsWorthTelling(Errc code);

  void Note(int64_t unix_ms, std::string path, const Error& error);
  std::vector<RecentError> Get() const;
  const OutcomeCounters<1>& counters() const { return counters_; }  // of all ever noted

 private:
  OutcomeCounters<1> counters_;
  mutable Mutex mutex_;
  std::list<RecentError> errors_ TCIAFS_GUARDED_BY(mutex_);  // newest first
};

}  // namespace tciafs::vfs
