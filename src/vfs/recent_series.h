// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The records of the series used last: programs look up and open the instances of one series after
// the other, and a record takes longer to read than all the rest of it. A record is good for as
// long as the catalog's revision, taken before the record was read, is the same. Thread-safe; the
// mutex is a leaf.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "tciafs/catalog/catalog.h"
#include "tciafs/util/mutex.h"
#include "vfs/limits.h"
#include "vfs/series_access.h"

namespace tciafs::vfs {

class RecentSeries {
 public:
  // For a path at or below a series; null if it is not here.
  SeriesAccessPtr Find(const catalog::ObjectPath& path, uint64_t revision) const {
    MutexLock lock(mutex_);
    for (const Recent& recent : recent_)
      if (recent.access != nullptr && recent.revision == revision && IsOf(*recent.access, path))
        return recent.access;
    return nullptr;
  }
  void Put(SeriesAccessPtr access, uint64_t revision) {
    MutexLock lock(mutex_);
    Recent& oldest = recent_[next_++ % recent_.size()];
    oldest.access.swap(access);  // what was there goes without the lock
    oldest.revision = revision;
  }

 private:
  struct Recent {
    SeriesAccessPtr access;
    uint64_t revision = 0;
  };
  static bool IsOf(const SeriesAccess& access, const catalog::ObjectPath& path) {
    const source::SeriesRecord& record = access.target.record;
    return record.series == path.series && access.target.server == path.server &&
           record.study == path.study && record.patient == path.patient &&
           record.collection == path.collection;
  }

  mutable Mutex mutex_;
  std::array<Recent, kRecentSeriesMax> recent_ TCIAFS_GUARDED_BY(mutex_);
  size_t next_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::vfs
