// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Tells a walk over a collection (find, ls -R, an indexer) from a look at single patients, by what
// must be asked of the archive: the patient that follows in the listing one asked for just before,
// or a third patient within a short time. Thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "catalog/directory_key.h"
#include "tciafs/util/mutex.h"

namespace tciafs::catalog {

class WalkDetector {
 public:
  explicit WalkDetector(int64_t window_ms) : window_ms_(window_ms) {}

  // Notes that `patient` must be asked for; `successor` is the name after it in the listing of the
  // collection, "" if there is none. True if this goes on a walk.
  bool Note(const DirectoryKey& collection, const std::string& patient,
            const std::string& successor, int64_t now_ms);

 private:
  struct Asked {
    std::string patient;
    std::string successor;
    int64_t at_ms = 0;
  };

  const int64_t window_ms_;
  Mutex mutex_;
  std::map<DirectoryKey, std::deque<Asked>> asked_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::catalog
