// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Makes the fetcher over the sources and the cache of one mount, all borrowed and outliving it.
#pragma once

#include <memory>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/fetch/fetcher.h"
#include "tciafs/fetch/limits.h"
#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::fetch {

struct FetchOptions {
  int downloads_max = 2;  // series under way at once, per server
  // A download whose last waiter went away ends after this; one that served its waiters, if others
  // are queued and nobody has asked for anything of it for so long.
  int64_t linger_ms = 5'000;
  // A failed instance is not asked for again before; one the archive lists but does not deliver,
  // twice as long each time, up to an hour.
  int64_t failure_memory_ms = 10'000;
  // A broken download is not begun again once nothing has come of it for so long.
  int64_t stall_ms = 60'000;
  size_t waiters_max = kWaitersMax;
  // Of each stream, between the source's thread and the one that sums and writes; 0: these are one.
  size_t queue_bytes_max = kQueueBytesMax;
};

std::unique_ptr<Fetcher> CreateSeriesFetcher(const FetchOptions& options,
                                             std::vector<source::Source*> sources,
                                             cache::BlockCache& cache, const Clock& clock,
                                             Executor& executor, Scheduler& scheduler);

}  // namespace tciafs::fetch
