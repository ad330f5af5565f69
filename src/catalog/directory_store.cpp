// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/directory_store.h"

#include <algorithm>
#include <utility>

#include "tciafs/catalog/names.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {
namespace {

constexpr uint64_t kListingsPerRelease = 1'000;

std::string EntryKey(const DirectoryKey& directory, std::string_view name) {
  std::string key(directory.view());
  key += name;
  return key;
}

std::string_view NameInKey(std::string_view key) { return key.substr(kDirectoryKeyBytes); }

constexpr std::string_view kRemovedPrefix = "removed/";  // in the table meta

Level LevelBelow(Level level) { return static_cast<Level>(static_cast<int>(level) + 1); }

std::string RemovedKey(const DirectoryKey& key, Level level) {
  std::string meta_key(kRemovedPrefix);
  meta_key += static_cast<char>(level);
  meta_key += key.view();
  return meta_key;
}

std::optional<std::pair<DirectoryKey, Level>> DecodeRemovedKey(std::string_view meta_key) {
  if (meta_key.size() != kRemovedPrefix.size() + 1 + kDirectoryKeyBytes) return std::nullopt;
  const auto level = static_cast<Level>(meta_key[kRemovedPrefix.size()]);
  if (level < Level::kCollection || level > Level::kSeries) return std::nullopt;
  DirectoryKey key;
  meta_key.copy(key.bytes.data(), kDirectoryKeyBytes, kRemovedPrefix.size() + 1);
  return std::pair(key, level);
}

std::optional<ListingState> StateIn(const store::ReadTxn& txn, store::Table listings,
                                    const DirectoryKey& key) {
  const auto bytes = txn.Get(listings, key.view());
  if (!bytes || !*bytes) return std::nullopt;
  return DecodeState(**bytes);
}

}  // namespace

DirectoryStore::DirectoryStore(std::shared_ptr<CatalogStore> store) : store_(std::move(store)) {}

Result<std::optional<StoredListing>> DirectoryStore::ReadListing(const DirectoryKey& key,
                                                                 size_t server) const {
  // A walk through all of the archive would bring all of the store into memory.
  if (++listings_read_ % kListingsPerRelease == 0) environment().ReleasePages();
  TCIAFS_ASSIGN(const store::ReadTxn txn, environment().Read());
  const auto state = StateIn(txn, table(CatalogTable::kListings), key);
  if (!state || !state->listed) return std::optional<StoredListing>();
  auto listing = std::make_shared<Listing>();
  listing->version = state->version;
  listing->entries.reserve(static_cast<size_t>(std::clamp<int64_t>(state->entries, 0, 1 << 20)));
  bool damaged = false;
  TCIAFS_TRY(txn.Scan(table(CatalogTable::kEntries), key.view(),
                      [&](std::string_view entry_key, std::string_view row) {
                        const auto head = DecodeRow(row);
                        if (head)
                          listing->entries.push_back({std::string(NameInKey(entry_key)), server,
                                                      head->modified_s, head->size_bytes});
                        else
                          damaged = true;
                        return true;
                      }));
  StoredListing stored{std::move(listing), *state};
  if (damaged) stored.state.fetched_at_ms = 0;
  return std::optional<StoredListing>(std::move(stored));
}

Result<StoredEntry> DirectoryStore::ReadEntry(const DirectoryKey& directory,
                                              std::string_view name) const {
  TCIAFS_ASSIGN(const store::ReadTxn txn, environment().Read());
  StoredEntry entry;
  TCIAFS_ASSIGN(const auto row, txn.Get(table(CatalogTable::kEntries), EntryKey(directory, name)));
  if (row) entry.head = DecodeRow(*row);
  entry.state = StateIn(txn, table(CatalogTable::kListings), directory);
  if (row && !entry.head && entry.state) entry.state->fetched_at_ms = 0;  // damaged: ask again
  return entry;
}

std::optional<ListingState> DirectoryStore::ReadState(const DirectoryKey& key) const {
  const auto txn = environment().Read();
  if (!txn) return std::nullopt;
  return StateIn(*txn, table(CatalogTable::kListings), key);
}

Result<RowHead> DirectoryStore::ReadRecord(const DirectoryKey& directory, const ObjectPath& object,
                                           source::Attributes& attributes) const {
  TCIAFS_ASSIGN(const store::ReadTxn txn, environment().Read());
  TCIAFS_ASSIGN(const auto row,
                txn.Get(table(CatalogTable::kEntries), EntryKey(directory, NameOf(object))));
  std::string_view encoded;
  auto head = row ? DecodeRow(*row, &encoded) : std::nullopt;
  if (!head) return Fail(Errc::kNotFound, object.Text() + ": not in the catalog");
  auto decoded =
      DecodeAttributes(encoded, object, [&](std::string_view key) -> std::optional<std::string> {
        const auto text = txn.Get(table(CatalogTable::kTexts), key);
        if (!text || !*text) return std::nullopt;
        return std::string(**text);
      });
  if (!decoded) return Fail(Errc::kNotFound, object.Text() + ": its stored record is damaged");
  attributes = std::move(*decoded);
  return std::move(*head);
}

Result<std::vector<std::string>> DirectoryStore::ReadNames(const DirectoryKey& key,
                                                           std::string_view from,
                                                           size_t names_max) const {
  TCIAFS_ASSIGN(const store::ReadTxn txn, environment().Read());
  std::vector<std::string> names;
  if (names_max == 0) return names;
  TCIAFS_TRY(txn.Scan(
      table(CatalogTable::kEntries), key.view(),
      [&](std::string_view entry_key, std::string_view) {
        names.emplace_back(NameInKey(entry_key));
        return names.size() < names_max;
      },
      from.empty() ? std::string() : EntryKey(key, from)));
  return names;
}

Result<std::vector<std::pair<std::string, RowHead>>> DirectoryStore::ReadHeads(
    const DirectoryKey& key) const {
  TCIAFS_ASSIGN(const store::ReadTxn txn, environment().Read());
  std::vector<std::pair<std::string, RowHead>> heads;
  TCIAFS_TRY(txn.Scan(table(CatalogTable::kEntries), key.view(),
                      [&](std::string_view entry_key, std::string_view row) {
                        if (auto head = DecodeRow(row))
                          heads.emplace_back(NameInKey(entry_key), std::move(*head));
                        return true;
                      }));
  return heads;
}

Result<DirectoryWrite> DirectoryStore::Begin() {
  TCIAFS_ASSIGN(store::WriteTxn txn, environment().Write());
  return DirectoryWrite(*this, std::move(txn));
}

DirectoryWrite::DirectoryWrite(const DirectoryStore& store, store::WriteTxn txn)
    : store_(&store), txn_(std::move(txn)) {}

Status DirectoryWrite::Commit() {
  CommitStep("catalog.commit");
  TCIAFS_TRY(txn_.Commit());
  CommitStep("catalog.committed");
  return {};
}

std::optional<ListingState> DirectoryWrite::State(const DirectoryKey& key) const {
  return StateIn(txn_, table(CatalogTable::kListings), key);
}

bool DirectoryWrite::Contains(const DirectoryKey& directory, std::string_view name) const {
  const auto row = txn_.Get(table(CatalogTable::kEntries), EntryKey(directory, name));
  return row && row->has_value();
}

Status DirectoryWrite::PutState(const DirectoryKey& key, const ListingState& state) {
  touched_.push_back(key);
  return txn_.Put(table(CatalogTable::kListings), key.view(), EncodeState(state));
}

Result<Rows> DirectoryWrite::ReadRows(const DirectoryKey& key) const {
  Rows rows;
  TCIAFS_TRY(txn_.Scan(table(CatalogTable::kEntries), key.view(),
                       [&](std::string_view entry_key, std::string_view row) {
                         rows.emplace_hint(rows.end(), NameInKey(entry_key), row);
                         return true;
                       }));
  return rows;
}

std::string DirectoryWrite::Renewed(Level directory, std::string row, std::string_view old) {
  if (directory != Level::kCollection) return row;
  // A patient's row is told by two answers: the list of patients knows its attributes, the list of
  // its series how new it is. Neither takes away what the other said.
  std::string_view attributes, old_attributes;
  auto head = DecodeRow(row, &attributes);
  const auto old_head = DecodeRow(old, &old_attributes);
  if (!head || !old_head) return row;
  if (head->modified_s == 0) head->modified_s = old_head->modified_s;
  return EncodeRow(*head, attributes.empty() ? old_attributes : attributes);
}

bool DirectoryWrite::IsOtherVersion(Level directory, std::string_view a, std::string_view b) {
  const auto head_a = DecodeRow(a);
  const auto head_b = DecodeRow(b);
  if (!head_a || !head_b) return true;
  if (directory == Level::kStudy) return !source::SameVersion(head_a->version, head_b->version);
  if (directory == Level::kSeries) return head_a->size_bytes != head_b->size_bytes;
  return false;
}

// Makes the instances of a series whose version changed stale: still answered, but asked for anew.
Status DirectoryWrite::OutdateInstances(const DirectoryKey& study, const std::string& series_name) {
  const auto id = DecodeName(series_name);
  if (!id) return {};
  const DirectoryKey key = ChildKey(study, *id);
  auto state = State(key);
  if (!state) return {};
  state->fetched_at_ms = 0;
  return PutState(key, *state);
}

Status DirectoryWrite::Remove(const DirectoryKey& directory, Level level, const std::string& name) {
  TCIAFS_TRY(txn_.Delete(table(CatalogTable::kEntries), EntryKey(directory, name)));
  if (level == Level::kSeries) return {};  // instances have nothing below
  const auto id = DecodeName(name);
  if (!id) return {};
  const DirectoryKey key = ChildKey(directory, *id);
  TCIAFS_TRY(txn_.Delete(table(CatalogTable::kListings), key.view()));
  touched_.push_back(key);
  removed_any_ = true;
  return txn_.Put(table(CatalogTable::kMeta), RemovedKey(key, LevelBelow(level)), {});
}

Result<bool> DirectoryWrite::ClearRemoved(size_t keys_max) {
  for (size_t keys_left = keys_max; keys_left > 0; --keys_left) {
    std::string removed;
    TCIAFS_TRY(txn_.Scan(table(CatalogTable::kMeta), kRemovedPrefix,
                         [&](std::string_view meta_key, std::string_view) {
                           removed = meta_key;
                           return false;
                         }));
    if (removed.empty()) return false;
    const auto directory = DecodeRemovedKey(removed);
    // Listed again meanwhile: what is below is known again, and the next answers see to it.
    const auto state = directory ? State(directory->first) : std::nullopt;
    if (directory && !(state && state->listed)) {
      TCIAFS_TRY(ClearBelow(directory->first, directory->second, keys_left));
      if (keys_left == 0) return true;
    }
    TCIAFS_TRY(txn_.Delete(table(CatalogTable::kMeta), removed));
  }
  return true;
}

// Ends with no keys left where it did not get through: the names above stay then, to begin with
// the next time.
Status DirectoryWrite::ClearBelow(const DirectoryKey& key, Level level, size_t& keys_left) {
  TCIAFS_TRY(txn_.Delete(table(CatalogTable::kListings), key.view()));
  touched_.push_back(key);
  std::vector<std::string> entry_keys;
  TCIAFS_TRY(txn_.Scan(table(CatalogTable::kEntries), key.view(),
                       [&](std::string_view entry_key, std::string_view) {
                         entry_keys.emplace_back(entry_key);
                         return entry_keys.size() < keys_left;
                       }));
  for (const auto& entry_key : entry_keys) {
    const auto id =
        level == Level::kSeries ? std::nullopt : DecodeName(std::string(NameInKey(entry_key)));
    if (id) TCIAFS_TRY(ClearBelow(ChildKey(key, *id), LevelBelow(level), keys_left));
    if (keys_left == 0) return {};
    TCIAFS_TRY(txn_.Delete(table(CatalogTable::kEntries), entry_key));
    --keys_left;
  }
  return {};
}

// Writes what is new or different in `rows`; what only `old` has stays.
Status DirectoryWrite::Difference(const ObjectPath& directory, const DirectoryKey& key,
                                  const Rows& old, Rows& rows, Change& change) {
  for (auto& [name, row] : rows) {
    const auto before = old.find(name);
    if (before == old.end()) {
      change.added.push_back(name);
    } else {
      row = Renewed(directory.level, std::move(row), before->second);
      if (row == before->second) continue;
      if (IsOtherVersion(directory.level, row, before->second)) {
        change.changed.push_back(name);
        if (directory.level == Level::kStudy) TCIAFS_TRY(OutdateInstances(key, name));
      }
    }
    TCIAFS_TRY(txn_.Put(table(CatalogTable::kEntries), EntryKey(key, name), row));
  }
  return {};
}

Result<Replaced> DirectoryWrite::Replace(const ObjectPath& directory, const DirectoryKey& key,
                                         Rows rows, const AnswerTerms& terms) {
  ListingState state = State(key).value_or(ListingState{});
  TCIAFS_ASSIGN(const Rows old, ReadRows(key));
  const bool listed_before = state.listed;
  if (rows.empty() && !old.empty()) {
    const bool counting = state.emptied_at_ms > 0 && state.emptied_at_ms <= terms.now_ms;
    // An archive without a single collection is an archive that is ill.
    const bool believed = directory.level != Level::kRoot && counting &&
                          terms.now_ms - state.emptied_at_ms >= terms.ttl_ms && terms.served;
    if (!believed) {
      if (counting) return Replaced::kKeptDespiteEmptyAnswer;
      state.emptied_at_ms = terms.now_ms;
      TCIAFS_TRY(PutState(key, state));
      return Replaced::kKeptDespiteEmptyAnswer;
    }
  }

  Change change;
  change.directory = directory;
  TCIAFS_TRY(Difference(directory, key, old, rows, change));
  int64_t missing = 0;
  for (const auto& [name, row] : old) {
    if (rows.contains(name)) continue;
    if (!rows.empty()) {  // all of it gone was decided above
      TCIAFS_ASSIGN(const bool keeps, KeepsMissing(EntryKey(key, name), row, terms));
      if (keeps) {
        ++missing;
        continue;
      }
    }
    change.removed.push_back(name);
    TCIAFS_TRY(Remove(key, directory.level, name));
  }

  if (missing > 0)
    LogDebug("{}: the answer lacks {} that go if a later one does, too", directory.Text(), missing);
  const bool differs = !change.added.empty() || !change.removed.empty() || !change.changed.empty();
  const bool confirmed_by_repetition = listed_before && old.empty() && !terms.confirmed &&
                                       state.fetched_at_ms > 0 &&
                                       terms.healthy_at_ms > state.fetched_at_ms;
  state.provisional =
      missing > 0 || (rows.empty() && old.empty() && !terms.confirmed && !confirmed_by_repetition);
  state.listed = true;
  state.emptied_at_ms = 0;
  state.fetched_at_ms = terms.now_ms;
  state.entries = static_cast<int64_t>(rows.size()) + missing;
  // Starts from the time, so that a directory removed and listed again goes on growing.
  if (state.version == 0)
    state.version = terms.now_ms;
  else if (differs)
    ++state.version;
  TCIAFS_TRY(PutState(key, state));
  if (differs && listed_before) changes_.push_back(std::move(change));
  return missing > 0 ? Replaced::kKeptMissing : Replaced::kYes;
}

Result<bool> DirectoryWrite::KeepsMissing(const std::string& entry_key, const std::string& row,
                                          const AnswerTerms& terms) {
  std::string_view attributes;
  auto head = DecodeRow(row, &attributes);
  if (!head || terms.complete) return false;
  const bool counting = head->missing_since_ms > 0 && head->missing_since_ms <= terms.now_ms;
  if (counting) return terms.now_ms - head->missing_since_ms < terms.missing_pause_ms;
  head->missing_since_ms = terms.now_ms;
  TCIAFS_TRY(txn_.Put(table(CatalogTable::kEntries), entry_key, EncodeRow(*head, attributes)));
  return true;
}

Status DirectoryWrite::Merge(const ObjectPath& directory, const DirectoryKey& key,
                             const Rows& rows) {
  Rows old;
  for (const auto& [name, row] : rows) {
    TCIAFS_ASSIGN(const auto before, txn_.Get(table(CatalogTable::kEntries), EntryKey(key, name)));
    if (before) old.emplace(name, *before);
  }
  Change change;
  change.directory = directory;
  Rows renewed = rows;
  TCIAFS_TRY(Difference(directory, key, old, renewed, change));
  touched_.push_back(key);
  if (change.added.empty() && change.changed.empty()) return {};
  auto state = State(key);
  if (!state || !state->listed) return {};
  state->entries += static_cast<int64_t>(change.added.size());
  ++state->version;
  changes_.push_back(std::move(change));
  return PutState(key, *state);
}

Status DirectoryWrite::PutSharedTexts(const SharedTexts& texts) {
  for (const auto& [key, text] : texts) {
    TCIAFS_ASSIGN(const auto stored, txn_.Get(table(CatalogTable::kTexts), key));
    if (stored && *stored == text) continue;
    TCIAFS_TRY(txn_.Put(table(CatalogTable::kTexts), key, text));
  }
  return {};
}

Status DirectoryWrite::MarkBulk(const DirectoryKey& collection, int64_t now_ms) {
  ListingState state = State(collection).value_or(ListingState{});
  state.bulk_at_ms = now_ms;
  return PutState(collection, state);
}

Status DirectoryWrite::MarkProvisional(const DirectoryKey& key) {
  auto state = State(key);
  if (!state || !state->listed || state->provisional) return {};
  state->provisional = true;
  return PutState(key, *state);
}

}  // namespace tciafs::catalog
