// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the operations of one file system share: the seams below it (borrowed), its options, its
// tables. Thread-safe as its members are. Owned by the file system; operations under way hold it
// weakly, so that a late answer finds it gone instead of half destroyed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "tciafs/util/gate.h"
#include "tciafs/vfs/filesystem.h"
#include "vfs/handle_table.h"
#include "vfs/invalidations.h"
#include "vfs/node_table.h"
#include "vfs/reading_order.h"
#include "vfs/recent_errors.h"
#include "vfs/recent_handles.h"
#include "vfs/recent_series.h"
#include "vfs/virtual_nodes.h"

namespace tciafs::vfs {

struct Context {
  Context(const FilesystemOptions& with, catalog::Catalog& names, fetch::Fetcher& fetch,
          cache::BlockCache& blocks, Executor& executor)
      : options(with),
        catalog(names),
        fetcher(fetch),
        cache(blocks),
        clock(with.clock != nullptr ? *with.clock : own_clock),
        started_ms(clock.MonotonicMs()),
        nodes(with.files_are_opened),
        tables(Strand::Create(executor)),
        invalidations(std::make_shared<Invalidations>(executor)) {}

  const FilesystemOptions options;
  catalog::Catalog& catalog;
  fetch::Fetcher& fetcher;
  cache::BlockCache& cache;
  const SystemClock own_clock;
  const Clock& clock;
  const int64_t started_ms;  // monotonic

  NodeTable nodes;
  mutable VirtualNodes virtual_nodes;
  const std::shared_ptr<Strand> tables;  // where long ones are made, one at a time
  Gate gate;                             // of what the file system itself does on the executor
  std::atomic<bool> ending = false;      // to be done soon
  HandleTable<FileHandle> files;
  mutable RecentSeries recent_series;
  RecentFiles recent_files;  // read without being opened
  HandleTable<DirectoryHandle> directories;
  DirectoryReadings readings;
  const std::shared_ptr<Invalidations> invalidations;
  ReadingOrder reading_order;

  // For status.json and metrics.
  OperationCounters operations;
  RecentErrors recent_errors;
  mutable std::atomic<int64_t> cache_hits = 0;  // openings of instances
  mutable std::atomic<int64_t> cache_misses = 0;
  std::atomic<int64_t> reads = 0;  // of instances, those the kernel asked for
};

using ContextRef = std::shared_ptr<Context>;

inline Error UnmountedError() { return {Errc::kCancelled, "the file system is going away"}; }
inline Error GoneError() { return {Errc::kStale, "the object is gone"}; }

// A callback for a layer below: passes failures on to `done`, and the value to `then` with the
// context, if that is still there.
template <typename Value, typename Reply, typename Then>
Callback<Value> Continue(const ContextRef& context, Callback<Reply> done, Then then) {
  return [weak = std::weak_ptr<Context>(context), done = std::move(done),
          then = std::move(then)](Result<Value> result) {
    const ContextRef alive = weak.lock();
    if (alive == nullptr) return done(Fail(UnmountedError()));
    if (!result) return done(Fail(std::move(result).error()));
    then(alive, std::move(*result), done);
  };
}

}  // namespace tciafs::vfs
