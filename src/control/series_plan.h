// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// From paths inside a mount to the series they hold, with what is known of their size and of what
// is here already. Blocks. Used by one thread.
#pragma once

#include <cstdint>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/control/operations.h"

namespace tciafs::control {

struct PlannedSeries {
  catalog::ObjectPath path;
  cache::SeriesPlan plan;
  bool here = false;  // verified, when the plan was made
};

struct SeriesTotals {
  int64_t series = 0;
  int64_t images = 0;
  int64_t size_bytes = 0;
  int64_t of_unknown_size = 0;  // series that are not in size_bytes
  int64_t here_series = 0;
  int64_t here_bytes = 0;
};

class SeriesPlanner {
 public:
  explicit SeriesPlanner(const Mounted& mounted);

  // Adds the series at or below a path (of an instance: the one it is in), each once, in the order
  // of the tree. The root only with `whole_archive`. kNotFound, and those of catalog::Catalog.
  Status Add(const std::string& path, bool whole_archive, std::stop_token stop);

  const std::vector<PlannedSeries>& series() const { return series_; }
  std::vector<cache::SeriesPlan> Plans() const;
  SeriesTotals Totals() const;

 private:
  Status AddBelow(const catalog::ObjectPath& directory, std::stop_token stop);
  Status AddSeries(const catalog::ObjectPath& path);

  const Mounted& mounted_;
  std::vector<std::string> scopes_;  // of the servers
  std::set<cache::SeriesKey> keys_;
  std::vector<PlannedSeries> series_;
};

// Fails with kNoSpace, in words for people, where the series cannot all be here at once;
// `for_ever`: together with all that is pinned.
Status CheckFits(const cache::BlockCache& cache, const std::vector<cache::SeriesPlan>& plans,
                 bool for_ever);

}  // namespace tciafs::control
