// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Asks the archive for directories and stores what it answers. The unit of a request is what one
// call answers: the collections of a server, the patients of a collection, everything of one
// patient (his directory and those of his studies), the instances of a series. Equal requests under
// way are one. Thread-safe.
//
// How an answer comes home: source (any thread) → strand: one transaction → the cache of listings
// forgets → the listener hears of changes → the waiters are called, and read the store.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "catalog/bulk_listings.h"
#include "catalog/context.h"

namespace tciafs::catalog {

// The directory whose renewal renews `directory`.
ObjectPath UnitOf(const ObjectPath& directory);

enum class Purpose {
  kListing,     // the content is wanted: a walk may turn this into a bulk
  kOnePatient,  // does this patient exist? never a bulk
  kForced,      // ask, however fresh the listing is
};

class Renewals {
 public:
  explicit Renewals(CatalogContext& context)
      : context_(context), bulks_(context), requests_(context.sources.size()) {}

  // `done` is called once the store holds the answer, or with the reason why not; it may be empty:
  // then nobody waits, and the renewal may be put off. Unless forced, nothing is asked when the
  // unit turns out to be fresh. An empty answer that is not believed is kUnavailable, one for a
  // patient nothing is known of is kNotFound.
  void Renew(const ObjectPath& unit, Purpose purpose, Callback<void> done);
  // How long the request under way has been; 0 if there is none.
  int64_t AgeMs(const ObjectPath& unit) const;
  // Calls whoever waits, with kCancelled. For the end of the catalog, after its gate was closed.
  void Abort();
  BulkListings& bulks() { return bulks_; }

 private:
  struct Flight {
    std::vector<Callback<void>> waiters;
    int64_t started_ms = 0;
    std::optional<size_t> counts_for;  // the server it is counted for: one request of its own
    bool served = false;               // the server answered its collections before it was asked
  };
  struct Request {
    ObjectPath unit;
    DirectoryKey key;
  };
  using ListingsBySeries = std::map<std::string, source::InstanceListing>;

  void Ask(const Request& request, Purpose purpose, bool awaited);
  void AskIfServed(const Request& request, Purpose purpose, bool awaited);
  void RenewPatient(const Request& request, Purpose purpose, bool awaited);
  void AwaitBulk(const Request& request);
  bool GoesOnWalk(const ObjectPath& unit);
  void RequestCollections(const Request& request);
  void RequestPatients(const Request& request);
  void RequestPatientSeries(const Request& request);
  void RequestInstances(const Request& request, bool with_others);
  void AddOthers(std::vector<Request>& requests);
  // The wanted series first.
  void AskInstances(std::vector<Request> requests);

  Status StorePatientSeries(const Request& request,
                            const std::vector<source::SeriesRecord>& records);
  Status StoreDirectory(const Request& request, RowTree& tree);
  void TellRootChange(const Request& request, bool is_first, const Rows& rows,
                      DirectoryWrite& write);
  void InstancesArrived(const std::vector<Request>& requests,
                        Result<std::vector<source::InstanceListing>> answer);
  bool HasAllImages(const ObjectPath& series, const Rows& rows) const;
  void LeftOut(const Request& request);
  void ManyFailed(const std::vector<Request>& requests, const Error& error);
  void StoreInstances(const std::shared_ptr<std::vector<Request>>& requests, size_t from,
                      const std::shared_ptr<ListingsBySeries>& listings);
  static Status EmptyButKept();

  bool IsAwaited(const DirectoryKey& key);
  bool IsFresh(const DirectoryKey& key) const;
  AnswerTerms Terms(const Request& request) const;
  void NoteRows(size_t server, bool any);
  std::vector<Callback<void>> TakeWaiters(const DirectoryKey& key);
  void Count(Flight& flight, size_t server) TCIAFS_REQUIRES(mutex_);
  void Uncount(Flight& flight) TCIAFS_REQUIRES(mutex_);
  void Complete(const Request& request, const Status& status);

  CatalogContext& context_;
  BulkListings bulks_;
  mutable Mutex mutex_;
  std::map<DirectoryKey, Flight> flights_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<size_t> requests_ TCIAFS_GUARDED_BY(mutex_);  // by server, under way
};

}  // namespace tciafs::catalog
