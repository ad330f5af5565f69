// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the parts of the catalog share: the sources, where time and work come from, the store and
// the memories beside it, and the one way a committed change becomes known. Thread-safe once built;
// the listener is set before the first call. Lives as long as the catalog: whatever may come later
// goes through the gate.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "catalog/directory_store.h"
#include "catalog/listing_cache.h"
#include "catalog/request_memory.h"
#include "catalog/row_tree.h"
#include "catalog/walk_detector.h"
#include "tciafs/catalog/limits.h"
#include "tciafs/catalog/lmdb_catalog.h"
#include "tciafs/util/gate.h"

namespace tciafs::catalog {

// Of what was never listed: a retry by hand is fresh, a storm is not passed on.
inline constexpr int64_t kFirstFailureMemoryMs = 1'500;
inline constexpr size_t kKeysPerClearing = 10'000;  // in one transaction; others write between

struct CatalogContext {
  CatalogContext(const CatalogOptions& catalog_options, std::shared_ptr<CatalogStore> catalog_store,
                 std::vector<source::Source*> catalog_sources, const Clock& catalog_clock,
                 Executor& catalog_executor, Scheduler& catalog_scheduler);

  DirectoryKey Key(const ObjectPath& path) const { return KeyOf(roots[path.server], path); }
  int64_t FreshMs(const ListingState& state) const {
    return FreshForMs(state, clock.UnixMs(), options.ttl_ms, options.negative_ttl_ms);
  }
  AnswerTerms Terms(size_t server) const {
    AnswerTerms terms;
    terms.now_ms = clock.UnixMs();
    terms.ttl_ms = options.ttl_ms;
    terms.healthy_at_ms = servers.healthy_at_ms(server);
    terms.missing_pause_ms = std::min(options.ttl_ms, options.negative_ttl_ms);
    return terms;
  }
  // The error of `memory` (one of those below, or a part's own) that forbids to ask now.
  std::optional<Error> Blocking(const FailureMemory& memory, const DirectoryKey& key,
                                size_t server) const {
    return memory.Blocking(key, clock.MonotonicMs(), sources[server]->recovered_at_ms());
  }
  std::optional<Error> Blocking(const ObjectPath& unit) const {
    const DirectoryKey key = Key(unit);
    const auto state = store.ReadState(key);
    if (state && state->listed) return Blocking(failures, key, unit.server);
    return failures.BlockingFirst(key, clock.MonotonicMs(),
                                  sources[unit.server]->recovered_at_ms());
  }
  RowTree Tree(size_t server) { return RowTree(roots[server], server, odd_ids); }

  // From the cache of listings or the store; nullopt if it was never listed (or cannot be read).
  std::optional<StoredListing> ReadListing(const DirectoryKey& key, size_t server);
  // Makes a committed write known: forgets what it outdated, tells the listener, and has cleared
  // what it removed.
  void Publish(DirectoryWrite& committed);
  // Clears what lies below removed directories, in transactions others write between.
  void ClearRemoved() {
    if (!clearing.exchange(true)) PostWrite([this] { ClearNext(); });
  }
  void ClearNext();

  // Runs `task` unless the catalog has ended: on the strand where all changes are written, or on
  // the executor.
  void PostWrite(Task task) { strand->Post(gate.Guard(std::move(task))); }
  void Post(Task task) { executor.Post(gate.Guard(std::move(task))); }
  void PostAfter(int64_t delay_ms, Task task) {
    scheduler.After(delay_ms, gate.Guard([this, task = std::move(task)] { Post(task); }));
  }
  // The callback to give to a source: takes the answer to the strand.
  template <typename T>
  Callback<T> OnStrand(std::function<void(Result<T>)> apply) {
    return gate.Guard([this, apply = std::move(apply)](Result<T> answer) {
      PostWrite([apply, answer = std::make_shared<Result<T>>(std::move(answer))] {
        apply(std::move(*answer));
      });
    });
  }

  const CatalogOptions options;
  const std::vector<source::Source*> sources;
  std::vector<DirectoryKey> roots;  // by server
  const Clock& clock;
  Executor& executor;
  Scheduler& scheduler;
  const std::shared_ptr<Strand> strand;

  DirectoryStore store;
  ListingCache listings{kListingCacheBytes};
  FailureMemory failures{kFailuresRemembered};
  FailureMemory unanswered{kFailuresRemembered};  // series a request for many left out
  ServerMemory servers;
  WalkDetector walks;
  OddIds odd_ids;
  std::function<void(const Change&)> listener;
  std::stop_source stop;
  std::atomic<bool> clearing = false;
  std::atomic<uint64_t> revision = 0;  // of what is stored
  Gate gate;
};

}  // namespace tciafs::catalog
