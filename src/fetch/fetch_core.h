// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What all downloads of one fetcher share. Held by shared_ptr, because a source, an executor or a
// timer may let go of a download later than the fetcher does; the borrowed references are only
// touched by who holds a Pass of the gate. Thread-safe (each member is).
#pragma once

#include <atomic>

#include "fetch/failure_memory.h"
#include "tciafs/cache/block_cache.h"
#include "tciafs/fetch/series_fetcher.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/gate.h"

namespace tciafs::fetch {

struct FetchCore {
  FetchCore(const FetchOptions& fetch_options, cache::BlockCache& block_cache,
            const Clock& given_clock, Executor& worker_executor, Scheduler& timer_scheduler)
      : options(fetch_options),
        cache(block_cache),
        clock(given_clock),
        executor(worker_executor),
        scheduler(timer_scheduler),
        failures(given_clock, fetch_options.failure_memory_ms) {}

  const FetchOptions options;
  cache::BlockCache& cache;
  const Clock& clock;
  Executor& executor;
  Scheduler& scheduler;
  Gate gate;
  FailureMemory failures;
  std::atomic<size_t> waiters = 0;
};

}  // namespace tciafs::fetch
