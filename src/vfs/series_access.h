// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A series as the layers below want it named, and what is known of its instances. Plain data.
#pragma once

#include <memory>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/fetch/fetcher.h"

namespace tciafs::vfs {

struct SeriesAccess {
  cache::SeriesKey key;
  fetch::SeriesTarget target;
  const source::SeriesVersion& version() const { return target.record.version; }
};
using SeriesAccessPtr = std::shared_ptr<const SeriesAccess>;

// Taken once for a pass over a listing.
struct SeriesSnapshot {
  SeriesAccessPtr access;                   // null: the catalog has no record of it
  std::vector<cache::KnownInstance> known;  // sorted by SOP UID
};

}  // namespace tciafs::vfs
