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

namespace tciafs::catalog {

// Limits of one request: what answers in one go everywhere, and keeps an answer within tens of
// megabytes.
inline constexpr size_t kPlanSeriesMax = 5'000;
inline constexpr int64_t kPlanImagesMax = 200'000;
inline constexpr size_t kPlanSeriesLookedAtMax = 20'000;
inline constexpr int64_t kImagesIfUnknown = 100;

// The wanted series first. `wants` says whether a series should be asked for.
std::vector<ObjectPath> PlanInstances(const DirectoryStore& store, const DirectoryKey& root,
                                      const ObjectPath& wanted, bool on_a_walk,
                                      const std::function<bool(const DirectoryKey&)>& wants);

}  // namespace tciafs::catalog
