// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// All series of a collection in one request, for walks. The answer is staged in the store as it
// streams in, so memory stays bounded and a broken answer changes nothing; when it is whole it is
// applied directory by directory, in chunks of transactions. Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "catalog/context.h"

namespace tciafs::catalog {

class BulkListings {
 public:
  explicit BulkListings(CatalogContext& context) : context_(context) {}

  // Joins the bulk listing of `collection`, or starts one; `done`, unless empty, is called when
  // it has ended.
  // Answers how long to wait for it before asking for single patients. nullopt: none is to be had
  // (the archive cannot, it failed a moment ago, was done within the TTL, or the server has enough
  // of them under way), `done` is not called.
  std::optional<int64_t> Join(const ObjectPath& collection, Callback<void> done);
  // The server has as many of them under way as it is asked for at a time.
  bool IsBusy(size_t server) const;
  // Why the last one failed, while it is too early for another; nullopt if it did not.
  std::optional<Error> Failure(const ObjectPath& collection) const;
  // When the one under way last got further (monotonic); 0 if there is none.
  int64_t ProgressMs(const ObjectPath& collection) const;

 private:
  struct Bulk {
    Bulk(ObjectPath of, DirectoryKey of_key, std::string staging_prefix, RowTree tree)
        : collection(std::move(of)),
          key(of_key),
          prefix(std::move(staging_prefix)),
          pending(std::move(tree)) {}
    bool IsWhole() const { return known_absent == 0 && short_of.empty(); }
    const ObjectPath collection;
    const DirectoryKey key;
    const std::string prefix;  // of its rows in the staging table
    int64_t started_unix_ms = 0;
    int64_t started_ms = 0;
    std::atomic<int64_t> progress_ms = 0;
    // Touched by one batch at a time, then by the strand.
    RowTree pending;
    uint32_t runs = 0;  // staged
    size_t rows = 0;
    size_t patients = 0;                  // the collection lists
    size_t patients_absent = 0;           // of these the answer has no series
    size_t known_absent = 0;              // of these some were known before
    std::set<DirectoryKey> short_of;      // patients the answer lacks series or studies of
    std::vector<Callback<void>> waiters;  // guarded by BulkListings::mutex_
  };
  using BulkPtr = std::shared_ptr<Bulk>;

  bool IsAllowed(const ObjectPath& collection, const DirectoryKey& key) const;
  size_t RunningOf(size_t server) const TCIAFS_REQUIRES(mutex_);
  void NoteProgress(Bulk& bulk) { bulk.progress_ms = context_.clock.MonotonicMs(); }
  void Start(const BulkPtr& bulk);
  Status TakeBatch(Bulk& bulk, const std::vector<source::SeriesRecord>& records);
  Status Flush(Bulk& bulk);
  void Arrived(const BulkPtr& bulk, Status status);
  void ApplyNext(const BulkPtr& bulk);
  Result<bool> ApplyChunk(Bulk& bulk);  // false: nothing was left
  void CountAbsent(const BulkPtr& bulk, const std::string& from);
  Result<std::string> CountAbsentChunk(Bulk& bulk, const std::string& from);
  static bool ListsAfter(const std::optional<ListingState>& state, const Bulk& bulk);
  void ApplyAbsent(const BulkPtr& bulk, const std::string& from);
  Result<std::string> ApplyAbsentChunk(const Bulk& bulk, const std::string& from);
  int64_t PauseAfterFailureMs(const DirectoryKey& collection);
  void End(const BulkPtr& bulk, Status status);

  CatalogContext& context_;
  FailureMemory failures_{kFailuresRemembered};
  mutable Mutex mutex_;
  std::map<DirectoryKey, BulkPtr> running_ TCIAFS_GUARDED_BY(mutex_);
  std::map<DirectoryKey, int> failed_in_a_row_ TCIAFS_GUARDED_BY(mutex_);
  uint32_t next_number_ TCIAFS_GUARDED_BY(mutex_) = 1;
};

}  // namespace tciafs::catalog
