// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The series of the cache, and where in the tree they are. Blocks.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "tciafs/control/operations.h"

namespace tciafs::control {

struct PlacedSeries {
  cache::CachedSeries cached;
  std::string path;  // "" if what the catalog has stored does not tell
  // What people know it by: the path, or who was asked for it and its UID.
  std::string Name() const;
};

// Least recently used first.
Result<std::vector<PlacedSeries>> PlaceCachedSeries(const Mounted& mounted, std::stop_token stop);

// Those a request names by "path" (also of something above or below them) and by "series" (UIDs);
// all, where it names none. kNotFound: nothing of what it names is there.
Result<std::vector<PlacedSeries>> CachedSeriesOf(const Mounted& mounted, const Message& request,
                                                 std::stop_token stop);

}  // namespace tciafs::control
