// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which series to ask the instances of, together with the one that is wanted: the others of its
// patient that are not listed (or whose listing is stale) and, on a walk, those that follow in the
// order a walk takes, round to the beginning. Reads the store only.
#pragma once

#include <functional>
#include <vector>

#include "catalog/directory_store.h"
#include "tciafs/catalog/limits.h"

namespace tciafs::catalog {

// What a series counts whose number of images the archive does not tell.
inline constexpr int64_t kImagesIfUnknown = 100;

struct PlanLimits {
  size_t series = kPlanSeriesMax;
  int64_t images = kPlanImagesMax;
  size_t series_looked_at = kPlanSeriesLookedAtMax;
};

// The wanted series first. `wants` says whether a series should be asked for.
std::vector<ObjectPath> PlanInstances(const DirectoryStore& store, const DirectoryKey& root,
                                      const ObjectPath& wanted, bool on_a_walk,
                                      const std::function<bool(const DirectoryKey&)>& wants,
                                      const PlanLimits& limits = {});

}  // namespace tciafs::catalog
