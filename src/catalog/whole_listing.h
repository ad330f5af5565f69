// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Has every series of a collection stored, for who wants all of them: what was listed before
// counts, however old (it is renewed behind). A few patients that never were are asked for one by
// one, more of them with a bulk. What even a bulk leaves out is asked for one by one. Thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "catalog/renewals.h"

namespace tciafs::catalog {

class WholeListings {
 public:
  WholeListings(CatalogContext& context, Renewals& renewals)
      : context_(context), renewals_(renewals) {}

  // The patients of `collection` have been listed. `done` is called once, also where nothing is to
  // be asked. kTimedOut: no progress for CatalogOptions::whole_patience_ms.
  void Complete(const ObjectPath& collection, Callback<void> done);
  // Why the last one failed; nullopt if it did not.
  std::optional<Error> LastError(const DirectoryKey& collection) const {
    return failures_.Last(collection);
  }
  // Calls whoever waits, with kCancelled. For the end of the catalog, after its gate was closed.
  void Abort();

 private:
  struct Run;
  using RunPtr = std::shared_ptr<Run>;

  void Look(const RunPtr& run);
  Status FindUnlisted(Run& run);
  void RenewOld(Run& run);
  void AskBulk(const RunPtr& run);
  void AskSingly(const RunPtr& run);
  void AskNext(const RunPtr& run);
  void Watch(const RunPtr& run, int64_t after_ms);
  void NoteProgress(Run& run);
  void End(const RunPtr& run, const Status& status);

  CatalogContext& context_;
  Renewals& renewals_;
  FailureMemory failures_{kFailuresRemembered};
  Mutex mutex_;
  std::set<RunPtr> runs_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::catalog
