// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/bulk_listings.h"

#include <algorithm>

#include "tciafs/catalog/names.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kPendingBytesMax = 8 << 20;  // staged in one transaction
constexpr size_t kRowsPerChunk = 4'000;       // applied in one transaction; others write between
constexpr size_t kPatientsPerChunk = 2'000;

std::string StagingPrefix(uint32_t number) {
  std::string prefix;
  for (int shift = 24; shift >= 0; shift -= 8) prefix += static_cast<char>(number >> shift & 0xff);
  return prefix;
}

}  // namespace

bool BulkListings::IsAllowed(const ObjectPath& collection, const DirectoryKey& key) const {
  if (!context_.sources[collection.server]->capabilities().bulk_listing) return false;
  if (failures_.Blocking(key, context_.clock.MonotonicMs())) return false;
  const auto state = context_.store.ReadState(key);
  if (!state || state->bulk_at_ms <= 0) return true;
  const int64_t age_ms = context_.clock.UnixMs() - state->bulk_at_ms;
  return age_ms < 0 || age_ms >= context_.options.ttl_ms;
}

std::optional<int64_t> BulkListings::Join(const ObjectPath& collection, Callback<void> done) {
  const DirectoryKey key = context_.Key(collection);
  const int64_t now_ms = context_.clock.MonotonicMs();
  const auto join = [&](Bulk& bulk) {
    bulk.waiters.push_back(std::move(done));
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
    bulk = std::make_shared<Bulk>(collection, key, StagingPrefix(next_number_++),
                                  context_.Tree(collection.server));
    bulk->started_unix_ms = context_.clock.UnixMs();
    bulk->started_ms = now_ms;
    running_.emplace(key, bulk);
    wait_ms = join(*bulk);
  }
  Start(bulk);
  return wait_ms;
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
  for (const auto& record : records)
    if (bulk.pending.Add(record, bulk.collection.collection, {})) ++bulk.rows;
  if (bulk.rows > kRowsOfBulkMax) return Fail(Errc::kUnavailable, "an absurd number of series");
  return bulk.pending.size_bytes() > kPendingBytesMax ? Flush(bulk) : Status();
}

Status BulkListings::Flush(Bulk& bulk) {
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  TCIAFS_TRY(write.Stage(bulk.prefix, bulk.pending));
  TCIAFS_TRY(write.Commit());
  bulk.pending.Clear();
  return {};
}

void BulkListings::Arrived(const BulkPtr& bulk, Status status) {
  if (!status) {
    context_.servers.NoteError(bulk->collection.server, status.error());
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
    ApplyAbsent(bulk, {});
}

Result<bool> BulkListings::ApplyChunk(const Bulk& bulk) {
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  TCIAFS_ASSIGN(auto directories, write.Unstage(bulk.prefix, bulk.collection, kRowsPerChunk));
  if (directories.empty()) return false;
  const AnswerTerms terms = context_.Terms(bulk.collection.server);
  for (auto& [key, directory] : directories) {
    if (directory.path.level == Level::kCollection) {
      TCIAFS_TRY(write.Merge(directory.path, key, directory.rows));
      continue;
    }
    const auto state = write.State(key);
    // Listed singly while the bulk was under way: that answer is the newer one.
    if (state && state->listed && state->fetched_at_ms > bulk.started_unix_ms) continue;
    TCIAFS_TRY(write.Replace(directory.path, key, std::move(directory.rows), terms));
  }
  TCIAFS_TRY(write.Commit());
  context_.Publish(write);
  return true;
}

void BulkListings::ApplyAbsent(const BulkPtr& bulk, const std::string& from) {
  auto next = ApplyAbsentChunk(*bulk, from);
  if (!next) return End(bulk, Fail(std::move(next).error()));
  if (next->empty()) return End(bulk, {});
  context_.PostWrite([this, bulk, next = *std::move(next)] { ApplyAbsent(bulk, next); });
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
  terms.confirmed = true;
  for (const auto& name : names) {
    const auto id = DecodeName(name);
    if (!id) continue;
    const DirectoryKey key = ChildKey(bulk.key, *id);
    const auto state = write.State(key);
    if (state && state->listed && state->fetched_at_ms >= bulk.started_unix_ms) continue;
    TCIAFS_TRY(write.Replace(bulk.collection.Child(*id, bulk.collection.server), key, {}, terms));
  }
  if (next.empty()) TCIAFS_TRY(write.MarkBulk(bulk.key, bulk.started_unix_ms));
  TCIAFS_TRY(write.Commit());
  context_.Publish(write);
  return next;
}

void BulkListings::End(const BulkPtr& bulk, Status status) {
  if (status) {
    LogInfo("{}: listed {} series at once", bulk->collection.Text(), bulk->rows);
    failures_.Forget(bulk->key);
  } else {
    LogWarning("{}: listing all its series at once failed: {}", bulk->collection.Text(),
               status.error().message);
    failures_.Remember(bulk->key, status.error(),
                       context_.clock.MonotonicMs() + context_.options.retry_after_failure_ms);
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
