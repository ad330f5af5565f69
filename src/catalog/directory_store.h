// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Directories as they are stored: reading listings, entries and records; replacing the content of
// directories in transactions that know what changed. Nothing here asks the archive.
//
// DirectoryStore is thread-safe. A DirectoryWrite is one transaction and belongs to the thread that
// began it. Rows that do not decode count as not there; a listing that had some is answered as
// stale.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catalog/directory_key.h"
#include "catalog/listing_state.h"
#include "catalog/row.h"
#include "catalog/row_tree.h"
#include "catalog/tables.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/catalog/lmdb_catalog.h"
#include "tciafs/store/store.h"
#include "tciafs/util/result.h"

namespace tciafs::catalog {

struct StoredListing {
  std::shared_ptr<const Listing> listing;
  ListingState state;
};

struct StoredEntry {
  std::optional<RowHead> head;        // nullopt: no such name
  std::optional<ListingState> state;  // of the directory
};

class DirectoryWrite;

class DirectoryStore {
 public:
  explicit DirectoryStore(std::shared_ptr<CatalogStore> store);

  // nullopt: nothing is known of this directory.
  Result<std::optional<StoredListing>> ReadListing(const DirectoryKey& key, size_t server) const;
  Result<StoredEntry> ReadEntry(const DirectoryKey& directory, std::string_view name) const;
  std::optional<ListingState> ReadState(const DirectoryKey& key) const;
  // kNotFound if it is not there. `object` is what the row describes.
  Result<RowHead> ReadRecord(const DirectoryKey& directory, const ObjectPath& object,
                             source::Attributes& attributes) const;
  // Up to `names_max` names from the first >= `from` on.
  Result<std::vector<std::string>> ReadNames(const DirectoryKey& key, std::string_view from,
                                             size_t names_max) const;

  Result<std::vector<std::pair<std::string, RowHead>>> ReadHeads(const DirectoryKey& key) const;

  // All rows of `level` below `directory`, whose key is `key`.
  Result<std::unique_ptr<RowReader>> ReadRowsBelow(const ObjectPath& directory,
                                                   const DirectoryKey& key, Level level) const;

  Result<DirectoryWrite> Begin();
  store::Environment& environment() const { return store_->environment(); }
  store::Table table(CatalogTable table) const { return TableOf(environment(), table); }

 private:
  const std::shared_ptr<CatalogStore> store_;
  mutable std::atomic<uint64_t> listings_read_ = 0;
};

// Whether an empty or shortened answer may be believed, and what else an answer means.
struct AnswerTerms {
  int64_t now_ms = 0;
  int64_t ttl_ms = 0;
  int64_t healthy_at_ms = 0;  // when the server last answered something that was not empty
  bool confirmed = false;     // an empty directory is known to be empty (a bulk listed all others)
  int64_t missing_pause_ms = 0;  // a name goes when it is still missing that long after
  bool complete = false;         // known to be all there is: what is missing goes at once
  bool served = false;           // the account got something else from the server just before
};

enum class Replaced {
  kYes,
  kKeptMissing,  // but for names the answer lacked, which stay for now
  kKeptDespiteEmptyAnswer,
};

using StagedDirectories = std::map<DirectoryKey, DirectoryRows>;

class DirectoryWrite {
 public:
  // The directory as the archive now answers it. An empty answer for one that had entries is
  // believed only as AnswerTerms allow; so is the lack of single names. What lies below a removed
  // name is cleared later (ClearRemoved).
  Result<Replaced> Replace(const ObjectPath& directory, const DirectoryKey& key, Rows rows,
                           const AnswerTerms& terms);
  // Adds to a directory, or renews what is there, without claiming to know all of it.
  Status Merge(const ObjectPath& directory, const DirectoryKey& key, const Rows& rows);
  Status PutSharedTexts(const SharedTexts& texts);
  Status MarkBulk(const DirectoryKey& collection, int64_t now_ms);
  // Has a listed directory asked for again soon.
  Status MarkProvisional(const DirectoryKey& key);
  // Deletes up to about `keys_max` keys below what was removed; false: nothing is left to clear.
  // What was to be cleared is kept in the store, so it goes on after a restart.
  Result<bool> ClearRemoved(size_t keys_max);

  // Rows of a bulk answer on their way to their directories (see tables.h), the next run of them:
  // runs are numbered from 0.
  Status Stage(std::string_view prefix, uint32_t run, const RowTree& tree);
  // Takes up to about `rows_max` rows out of that many runs, whole directories only and in the
  // order of their keys; none when nothing is left.
  Result<StagedDirectories> Unstage(std::string_view prefix, uint32_t runs,
                                    const ObjectPath& collection, size_t rows_max);
  Status DropStaged(std::string_view prefix);

  std::optional<ListingState> State(const DirectoryKey& key) const;
  bool Contains(const DirectoryKey& directory, std::string_view name) const;

  Status Commit();
  // What this transaction changes; true once it is committed.
  std::vector<DirectoryKey> TakeTouched() { return std::move(touched_); }
  std::vector<Change> TakeChanges() { return std::exchange(changes_, {}); }
  bool removed_any() const { return removed_any_; }
  void PutChanges(std::vector<Change> changes) { changes_ = std::move(changes); }

 private:
  friend class DirectoryStore;
  DirectoryWrite(const DirectoryStore& store, store::WriteTxn txn);

  store::Table table(CatalogTable of) const { return store_->table(of); }
  Status PutState(const DirectoryKey& key, const ListingState& state);
  Result<Rows> ReadRows(const DirectoryKey& key) const;
  // What `row` becomes in a directory that had `old` under the same name.
  static std::string Renewed(Level directory, std::string row, std::string_view old);
  static bool IsOtherVersion(Level directory, std::string_view a, std::string_view b);
  Status Difference(const ObjectPath& directory, const DirectoryKey& key, const Rows& old,
                    Rows& rows, Change& change);
  Status OutdateInstances(const DirectoryKey& study, const std::string& series_name);
  // Removes the name and the listing of what it names.
  Status Remove(const DirectoryKey& directory, Level level, const std::string& name);
  // What becomes of a row the answer lacks: true if it stays.
  Result<bool> KeepsMissing(const std::string& entry_key, const std::string& row,
                            const AnswerTerms& terms);
  Status ClearBelow(const DirectoryKey& key, Level level, size_t& keys_left);

  const DirectoryStore* store_;
  store::WriteTxn txn_;
  std::vector<DirectoryKey> touched_;
  std::vector<Change> changes_;
  bool removed_any_ = false;
};

}  // namespace tciafs::catalog
