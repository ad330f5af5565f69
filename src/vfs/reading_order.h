// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Who reads the series of a study one after the other? Told of every instance that was read to its
// end. A series counts as read through once that is nearly all of them, in any order, with nothing
// of another series of the study read meanwhile. Pure bookkeeping, bounded; thread-safe.
//
// A kernel that reads cache files by itself (passthrough) does not tell how far; what is fetched in
// this mount is therefore read through us until it was read through once, and for longer only while
// the series to fetch after it has to wait.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <unordered_set>
#include <vector>

#include "tciafs/catalog/catalog.h"
#include "tciafs/util/mutex.h"

namespace tciafs::vfs {

class ReadingOrder {
 public:
  // `images`: how many instances its series has, negative if unknown. The answer is the series read
  // through right before, once this one is read through too, until Settle.
  std::optional<source::SeriesUid> NoteReadToEnd(const catalog::ObjectPath& instance,
                                                 int64_t images);
  // Nothing more is to be told of this series, or of the path of one of its instances.
  void Settle(const catalog::ObjectPath& series);
  // A series, or one of its instances: it is fetched, and whoever reads it is to be noticed.
  void Follow(const catalog::ObjectPath& series);
  // Whether there still is something to notice.
  bool Follows(const catalog::ObjectPath& series) const;

 private:
  struct Study {
    catalog::ObjectPath path;
    source::SeriesUid before;  // read through before `series`; empty: none
    source::SeriesUid series;
    std::unordered_set<size_t> read;  // hashes of SOP UIDs
    bool read_through = false;
    bool settled = false;
    std::vector<source::SeriesUid> followed;  // oldest first
  };

  Study& StudyOf(const catalog::ObjectPath& instance) TCIAFS_REQUIRES(mutex_);
  static void Leave(Study& study, const source::SeriesUid& series);

  mutable Mutex mutex_;
  std::list<Study> studies_ TCIAFS_GUARDED_BY(mutex_);  // the one read last comes first
};

}  // namespace tciafs::vfs
