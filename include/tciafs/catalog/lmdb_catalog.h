// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Makes the persistent catalog over the sources of one mount. Sources, clock, executor and
// scheduler are borrowed and outlive it. The destructor ends every waiter with kCancelled, asks the
// sources to stop, and returns when none of its callbacks is running any more; it must not be
// called from one.
//
// What is stored lives in a CatalogStore, which is opened first, because sources need its small
// memory (Load, Save) before there is a catalog. A store that is damaged or of another schema is
// set aside (renamed to catalog.set-aside.mdb beside it, replacing an older one) and a new one
// begun. State of different servers and accounts (source::Source::scope) never mixes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tciafs/catalog/catalog.h"
#include "tciafs/catalog/limits.h"
#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::store {
class Environment;
}

namespace tciafs::catalog {

// Thread-safe. One per directory and process at a time.
class CatalogStore {
 public:
  // Errors: those of store::Environment::Open but kCorrupt.
  static Result<std::shared_ptr<CatalogStore>> Open(const std::string& directory);
  ~CatalogStore();

  // A small persistent memory, e.g. of which API a server speaks. "" if unknown. Keys of at most
  // kMemoryKeyBytesMax bytes; a longer one is kInvalidArgument.
  std::string Load(const std::string& key) const;
  Status Save(const std::string& key, const std::string& value);

  store::Environment& environment() const { return *environment_; }
  int64_t used_bytes() const;

 private:
  explicit CatalogStore(std::unique_ptr<store::Environment> environment);
  const std::unique_ptr<store::Environment> environment_;
};

struct CatalogOptions {
  int64_t ttl_ms = 6 * 3600 * 1000LL;       // freshness of listings
  int64_t negative_ttl_ms = 60'000;         // how long a name that does not exist is remembered
  int64_t retry_after_failure_ms = 30'000;  // a failed renewal is not tried again before
  int64_t server_patience_ms =
      2'000;  // how long the root waits for a slow server once another answered
  int64_t bulk_patience_ms = 10'000;   // then a waiter asks for its one patient instead
  int64_t whole_patience_ms = 60'000;  // without progress: ListBelow then ends with kTimedOut
  int64_t walk_window_ms = 10'000;     // two neighbouring patients listed within this are a walk
  size_t rows_of_answer_max = kRowsOfAnswerMax;
  size_t rows_of_bulk_max = kRowsOfBulkMax;
};

Result<std::unique_ptr<Catalog>> OpenCatalog(const CatalogOptions& options,
                                             std::shared_ptr<CatalogStore> store,
                                             std::vector<source::Source*> sources,
                                             const Clock& clock, Executor& executor,
                                             Scheduler& scheduler);

}  // namespace tciafs::catalog
