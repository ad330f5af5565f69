// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Makes the persistent catalog over the sources of one mount. Sources, clock, executor and
// scheduler are borrowed and outlive it. The destructor cancels renewals and waits for their
// callbacks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tciafs/catalog/catalog.h"
#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::catalog {

struct CatalogOptions {
  std::string directory;                    // holds the LMDB environment
  int64_t ttl_ms = 6 * 3600 * 1000LL;       // freshness of listings
  int64_t negative_ttl_ms = 60'000;         // how long a name that does not exist is remembered
  int64_t retry_after_failure_ms = 30'000;  // a failed renewal is not tried again before
  int64_t server_patience_ms =
      2'000;  // how long the root waits for a slow server once another answered
  int64_t bulk_patience_ms = 10'000;  // then a waiter asks for its one patient instead
  int64_t walk_window_ms = 10'000;    // two neighbouring patients listed within this are a walk
};

Result<std::unique_ptr<Catalog>> OpenCatalog(const CatalogOptions& options,
                                             std::vector<source::Source*> sources,
                                             const Clock& clock, Executor& executor,
                                             Scheduler& scheduler);

}  // namespace tciafs::catalog
