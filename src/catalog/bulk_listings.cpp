// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/bulk_listings.h"

#include <algorithm>

#include "tciafs/catalog/names.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kPendingBytesMax = 4 << 20;  // a run, staged in one transaction
constexpr size_t kRowsPerChunk = 4'000;       // applied in one transaction; others write between
constexpr size_t kPatientsPerChunk = 200;     // each may bring 64 KiB of the store into memory
constexpr size_t kAbsentShare = 5;  // if more than one patient in so many has no series, the
                                    // answer may have been cut

std::string StagingPrefix(uint32_t number) {
  std::string prefix;
  for (int shift = 24; shift >= 0; shift -= 8) prefix += static_cast<char>(number >> shift & 0xff);
  return prefix;
}

}  // namespace

bool BulkListings::IsAllowed(const ObjectPath& collection, const DirectoryKey& key) const {
  if (!context_.sources[collection.server]->capabilities().bulk_listing) return false;
  if (!context_.sources[collection.server]->answering()) return false;
  if (context_.Blocking(failures_, key, collection.server)) return false;
  const auto state = context_.store.ReadState(key);
  if (!state || state->bulk_at_ms <= 0) return true;
  const int64_t age_ms = context_.clock.UnixMs() - state->bulk_at_ms;
  return age_ms < 0 || age_ms >= context_.options.ttl_ms;
}

std::optional<int64_t> BulkListings::Join(const ObjectPath& collection, Callback<void> done) {
  const DirectoryKey key = context_.Key(collection);
  const int64_t now_ms = context_.clock.MonotonicMs();
  const auto join = [&](Bulk& bulk) {
    if (done) bulk.waiters.push_back(std::move(done));
    return std::max<int64_t>(bulk.started_ms + context_.options.bulk_patience_ms - now_ms, 0);
  };
  {
    MutexLock lock(mutex_);
    if (const auto found = running_.find(key); found != running_.end()) return join(*found->second);
  }
  if (!IsAllowed(collection, key)) return std::nullopt;
  BulkPtr bulk;
  int64_t wait_ms = 0;
  {
    MutexLock lock(mutex_);
    if (const auto found = running_.find(key); found != running_.end()) return join(*found->second);
    if (RunningOf(collection.server) >= kBulksPerServerMax) return std::nullopt;
    bulk = std::make_shared<Bulk>(collection, key, StagingPrefix(next_number_++),
                                  context_.Tree(collection.server));
    bulk->started_unix_ms = context_.clock.UnixMs();
    bulk->started_ms = bulk->progress_ms = now_ms;
    running_.emplace(key, bulk);
    wait_ms = join(*bulk);
  }
  Start(bulk);
  return wait_ms;
}

size_t BulkListings::RunningOf(size_t server) const {
  return static_cast<size_t>(std::count_if(
      running_.begin(), running_.end(),
      [server](const auto& other) { return other.second->collection.server == server; }));
}

bool BulkListings::IsBusy(size_t server) const {
  MutexLock lock(mutex_);
  return RunningOf(server) >= kBulksPerServerMax;
}

std::optional<Error> BulkListings::Failure(const ObjectPath& collection) const {
  return context_.Blocking(failures_, context_.Key(collection), collection.server);
}

int64_t BulkListings::ProgressMs(const ObjectPath& collection) const {
  const DirectoryKey key = context_.Key(collection);
  MutexLock lock(mutex_);
  const auto found = running_.find(key);
  return found != running_.end() ? found->second->progress_ms.load() : 0;
}

void BulkListings::Start(const BulkPtr& bulk) {
  LogInfo("{}: listing all its series at once", bulk->collection.Text());
  context_.sources[bulk->collection.server]->ListCollectionSeries(
      bulk->collection.collection, context_.stop.get_token(),
      context_.gate.GuardOr(Status(Fail(Errc::kCancelled, "the catalog has ended")),
                            [this, bulk](const std::vector<source::SeriesRecord>& records) {
                              return TakeBatch(*bulk, records);
                            }),
      context_.OnStrand<void>([this, bulk](Status status) { Arrived(bulk, std::move(status)); }));
}

// Runs where the source calls it: waiting for the store here is what slows the source down.
Status BulkListings::TakeBatch(Bulk& bulk, const std::vector<source::SeriesRecord>& records) {
  NoteProgress(bulk);
  for (const auto& record : records)
    if (bulk.pending.Add(record, bulk.collection.collection, {})) ++bulk.rows;
  if (bulk.rows > context_.options.rows_of_bulk_max)
    return Fail(Errc::kUnavailable, "an absurd number of series");
  return bulk.pending.size_bytes() > kPendingBytesMax ? Flush(bulk) : Status();
}

Status BulkListings::Flush(Bulk& bulk) {
  if (bulk.pending.directories().empty()) return {};
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  TCIAFS_TRY(write.Stage(bulk.prefix, bulk.runs, bulk.pending));
  TCIAFS_TRY(write.Commit());
  CommitStep("catalog.bulk.staged");
  context_.store.environment().ReleasePages();
  ++bulk.runs;
  bulk.pending.Clear();
  return {};
}

void BulkListings::Arrived(const BulkPtr& bulk, Status status) {
  if (!status) {
    context_.servers.NoteError(bulk->collection.server, status.error(), context_.clock.UnixMs());
    return End(bulk, std::move(status));
  }
  // Nobody asks for a whole collection he has not seen patients of: nothing is no answer.
  if (bulk->rows == 0) {
    context_.servers.NoteAnswer(bulk->collection.server);
    return End(bulk, Fail(Errc::kUnavailable, "the archive answered with no series at all"));
  }
  context_.servers.NoteContent(bulk->collection.server, context_.clock.UnixMs());
  if (auto flushed = Flush(*bulk); !flushed) return End(bulk, std::move(flushed));
  ApplyNext(bulk);
}

void BulkListings::ApplyNext(const BulkPtr& bulk) {
  const auto applied = ApplyChunk(*bulk);
  if (!applied) return End(bulk, Fail(applied.error()));
  if (*applied)
    context_.PostWrite([this, bulk] { ApplyNext(bulk); });
  else
    CountAbsent(bulk, {});
}

Result<bool> BulkListings::ApplyChunk(Bulk& bulk) {
  NoteProgress(bulk);
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  TCIAFS_ASSIGN(auto directories,
                write.Unstage(bulk.prefix, bulk.runs, bulk.collection, kRowsPerChunk));
  if (directories.empty()) return false;
  const AnswerTerms terms = context_.Terms(bulk.collection.server);
  std::vector<DirectoryKey> listed;
  for (auto& [key, directory] : directories) {
    if (directory.path.level == Level::kCollection) {
      TCIAFS_TRY(write.Merge(directory.path, key, directory.rows));
      continue;
    }
    const auto state = write.State(key);
    // Listed singly while the bulk was under way: that answer is the newer one.
    if (state && state->listed && state->fetched_at_ms > bulk.started_unix_ms) continue;
    TCIAFS_ASSIGN(const Replaced replaced,
                  write.Replace(directory.path, key, std::move(directory.rows), terms));
    if (replaced == Replaced::kYes) {
      listed.push_back(key);
      continue;
    }
    const bool is_study = directory.path.level == Level::kStudy;
    bulk.short_of.insert(is_study ? context_.Key(ParentOf(directory.path)) : key);
  }
  TCIAFS_TRY(write.Commit());
  CommitStep("catalog.bulk.unstaged");
  context_.store.environment().ReleasePages();
  context_.Publish(write);
  for (const auto& key : listed) context_.failures.Forget(key);
  return true;
}

bool BulkListings::ListsAfter(const std::optional<ListingState>& state, const Bulk& bulk) {
  return state && state->listed && state->fetched_at_ms >= bulk.started_unix_ms;
}

void BulkListings::CountAbsent(const BulkPtr& bulk, const std::string& from) {
  auto next = CountAbsentChunk(*bulk, from);
  if (!next) return End(bulk, Fail(std::move(next).error()));
  if (next->empty()) return ApplyAbsent(bulk, {});
  context_.PostWrite([this, bulk, next = *std::move(next)] { CountAbsent(bulk, next); });
}

// Counts what the answer lacks, which tells how far it can be trusted. Answers the name to go on
// from, "" at the end.
Result<std::string> BulkListings::CountAbsentChunk(Bulk& bulk, const std::string& from) {
  NoteProgress(bulk);
  TCIAFS_ASSIGN(auto names, context_.store.ReadNames(bulk.key, from, kPatientsPerChunk + 1));
  std::string next;
  if (names.size() > kPatientsPerChunk) {
    next = std::move(names.back());
    names.pop_back();
  }
  bulk.patients += names.size();
  for (const auto& name : names) {
    const auto id = DecodeName(name);
    if (!id) continue;
    const auto state = context_.store.ReadState(ChildKey(bulk.key, *id));
    if (ListsAfter(state, bulk)) continue;
    ++bulk.patients_absent;
    if (state && state->listed && state->entries > 0) ++bulk.known_absent;
  }
  context_.store.environment().ReleasePages();
  return next;
}

void BulkListings::ApplyAbsent(const BulkPtr& bulk, const std::string& from) {
  auto next = ApplyAbsentChunk(*bulk, from);
  if (!next) return End(bulk, Fail(std::move(next).error()));
  if (!next->empty())
    return context_.PostWrite([this, bulk, next = *std::move(next)] { ApplyAbsent(bulk, next); });
  if (bulk->IsWhole()) return End(bulk, {});
  End(bulk, Fail(Errc::kUnavailable, "the archive left out series it listed before"));
}

// Patients the collection lists but the bulk had no series of. Answers the name to go on from, ""
// at the end.
Result<std::string> BulkListings::ApplyAbsentChunk(const Bulk& bulk, const std::string& from) {
  TCIAFS_ASSIGN(auto names, context_.store.ReadNames(bulk.key, from, kPatientsPerChunk + 1));
  std::string next;
  if (names.size() > kPatientsPerChunk) {
    next = std::move(names.back());
    names.pop_back();
  }
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  AnswerTerms terms = context_.Terms(bulk.collection.server);
  terms.served = true;  // the bulk itself is no empty answer
  terms.confirmed = bulk.IsWhole() && bulk.patients_absent * kAbsentShare <= bulk.patients;
  for (const auto& name : names) {
    const auto id = DecodeName(name);
    if (!id) continue;
    const DirectoryKey key = ChildKey(bulk.key, *id);
    const auto state = write.State(key);
    if (bulk.short_of.contains(key)) TCIAFS_TRY(write.MarkProvisional(key));
    if (ListsAfter(state, bulk)) continue;
    // Where the answer may have been cut short, those never listed are left to be asked for singly.
    if (!terms.confirmed && !(state && state->listed)) continue;
    TCIAFS_TRY(write.Replace(bulk.collection.Child(*id, bulk.collection.server), key, {}, terms));
  }
  if (next.empty() && bulk.IsWhole()) TCIAFS_TRY(write.MarkBulk(bulk.key, bulk.started_unix_ms));
  TCIAFS_TRY(write.Commit());
  CommitStep("catalog.bulk.settled");
  context_.store.environment().ReleasePages();
  context_.Publish(write);
  return next;
}

// Doubles with each failure in a row, up to the TTL.
int64_t BulkListings::PauseAfterFailureMs(const DirectoryKey& collection) {
  const int64_t first_ms = context_.options.retry_after_failure_ms;
  MutexLock lock(mutex_);
  if (failed_in_a_row_.size() >= kFailuresRemembered) failed_in_a_row_.clear();
  int64_t pause_ms = first_ms;
  for (int i = failed_in_a_row_[collection]++; i > 0 && pause_ms < context_.options.ttl_ms; --i)
    pause_ms *= 2;
  return std::max(first_ms, std::min(pause_ms, context_.options.ttl_ms));
}

void BulkListings::End(const BulkPtr& bulk, Status status) {
  if (status) {
    LogInfo("{}: listed {} series at once", bulk->collection.Text(), bulk->rows);
    failures_.Forget(bulk->key);
    MutexLock lock(mutex_);
    failed_in_a_row_.erase(bulk->key);
  } else {
    const bool refused = IsRefusedUnasked(status.error().code);
    if (!refused)
      LogWarning("{}: listing all its series at once failed: {}", bulk->collection.Text(),
                 status.error().message);
    failures_.Remember(bulk->key, status.error(), context_.clock.MonotonicMs(),
                       refused ? 0 : PauseAfterFailureMs(bulk->key));
    if (auto write = context_.store.Begin(); write && write->DropStaged(bulk->prefix))
      (void)write->Commit();  // what stays is dropped when the catalog opens
  }
  std::vector<Callback<void>> waiters;
  {
    MutexLock lock(mutex_);
    running_.erase(bulk->key);
    waiters.swap(bulk->waiters);
  }
  for (const auto& waiter : waiters) waiter(status);
}

}  // namespace tciafs::catalog
