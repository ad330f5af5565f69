// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How the fetch of a series begins and ends.
#include <algorithm>
#include <utility>

#include "cache/disk_block_cache.h"
#include "cache/disk_errors.h"
#include "cache/series_writer.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::cache {

Status DiskBlockCache::CheckIds(const SeriesPlan& plan) {
  const size_t uid_size = plan.key.series.text().size();
  if (uid_size == 0 || uid_size > kUidBytesMax || plan.key.scope.size() > kScopeBytesMax ||
      plan.version.timestamp.size() > kTimestampBytesMax)
    return Fail(Errc::kInvalidArgument, "an id that is empty or too long");
  return {};
}

Result<std::unique_ptr<SeriesWriter>> DiskBlockCache::BeginSeries(const SeriesPlan& plan) {
  TCIAFS_TRY(CheckIds(plan));
  TCIAFS_TRY(CheckFits(plan));
  TCIAFS_ASSIGN(const SeriesRef series, Occupy(plan));
  const auto fetch = std::make_shared<SeriesFetch>(*this, series);  // gives it up again at its end
  Status status = DropOtherVersion(series, plan.version);
  TakeVersion(series, plan.version);
  if (status && DiskUsable()) {
    status = ReserveFor(plan, *fetch);
    if (!status && status.error().code == Errc::kNoSpace) return Fail(std::move(status).error());
    if (status) status = StartOnDisk(*fetch);
    if (!status && !BlamesDisk(status.error()))
      return Fail(Errc::kInternal, std::move(status).error().message);
    if (!status) NoteDiskFailure(status.error());
  }
  return std::make_unique<DiskSeriesWriter>(fetch);  // without the disk: in memory
}

Status DiskBlockCache::DropOtherVersion(const SeriesRef& series,
                                        const source::SeriesVersion& version) {
  {
    MutexLock lock(mutex_);
    while (!series->withdrawing.empty()) settled_.Wait(mutex_);
    const bool same = source::SameVersion(series->entry.version, version);
    if (same && !series->outdated) return {};
    // What memory has of this version is kept while the disk is left alone.
    if (same && degraded_ && clock_.MonotonicMs() < disk_retry_ms_)
      return Fail(Errc::kInternal, "an older version could not be removed");
    MarkWipingLocked(*series);
  }
  return Wipe(series, Remember::kNothing);
}

Status DiskBlockCache::ReserveFor(const SeriesPlan& plan, SeriesFetch& fetch) {
  int64_t planned_bytes = 0;
  {
    MutexLock lock(mutex_);
    planned_bytes = PlannedBytes(plan, *fetch.series);
  }
  TCIAFS_TRY(Reserve(planned_bytes));
  MutexLock lock(mutex_);
  fetch.reserved_bytes = planned_bytes;
  return {};
}

// Marks the series as having a writer.
Result<SeriesRef> DiskBlockCache::Occupy(const SeriesPlan& plan) {
  for (;;) {
    TCIAFS_ASSIGN(SeriesRef series, Load(plan.key));
    MutexLock lock(mutex_);
    while (series->wiping || !series->withdrawing.empty()) settled_.Wait(mutex_);
    if (FindLocked(plan.key) != series) continue;  // dropped meanwhile
    if (series->has_writer)
      return Fail(Errc::kBusy, plan.key.series.text() + ": is being fetched already");
    series->has_writer = true;
    return series;
  }
}

// The same version may be told with more or less precision: the more is kept.
void DiskBlockCache::TakeVersion(const SeriesRef& series, const source::SeriesVersion& version) {
  MutexLock lock(mutex_);
  source::SeriesVersion& kept = series->entry.version;
  if (!source::SameVersion(kept, version)) kept = {};  // what had it is gone
  if (version.timestamp.size() > kept.timestamp.size()) kept.timestamp = version.timestamp;
  if (version.image_count >= 0) kept.image_count = version.image_count;
  if (version.total_bytes >= 0) kept.total_bytes = version.total_bytes;
  TouchLocked(series);
}

// The index says that there may be files it does not know, before there are: then a crash leaves
// nothing behind that the next run would not look for.
Status DiskBlockCache::StartOnDisk(SeriesFetch& fetch) {
  const SeriesRef& series = fetch.series;
  {
    MutexLock lock(mutex_);
    series->entry.unsettled = true;
    EditLocked(series);
  }
  TCIAFS_TRY(Commit());
  TCIAFS_TRY(index_->Sync());
  CommitStep("cache.fetch.marked");
  TCIAFS_ASSIGN(const bool shelf_made, disk_->MakeDirectory(layout_.SeriesShelf(series->id)));
  if (shelf_made) ClaimSpace(kDiskUnitBytes);
  const std::string directory = layout_.SeriesDirectory(series->id);
  TCIAFS_TRY(disk_->MakeDirectory(directory));
  CommitStep("cache.fetch.directory_made");
  {
    MutexLock lock(mutex_);
    if (series->entry.disk_bytes == 0) {
      series->entry.disk_bytes = kDiskUnitBytes;
      space_.Claim(kDiskUnitBytes);
    }
  }
  TCIAFS_ASSIGN(Journal journal,
                Journal::Create(*disk_, directory + "/" + kJournalName, series->id));
  CommitStep("cache.fetch.journal_created");
  fetch.StartJournal(std::move(journal));
  return {};
}

void DiskBlockCache::MarkVerified(const SeriesRef& series) {
  MutexLock lock(mutex_);
  const SeriesEntry& entry = series->entry;
  // Some may be in memory only, while the disk fails.
  if (entry.present == 0 || entry.present < entry.version.image_count) return;
  series->entry.verified = true;
  EditLocked(series);
}

bool DiskBlockCache::NothingPending(const SeriesState& series) const {
  MutexLock lock(mutex_);
  return series.pending.empty();
}

void DiskBlockCache::EndFetch(SeriesFetch& fetch, bool settled) {
  const SeriesRef& series = fetch.series;
  bool empty = false;
  {
    MutexLock lock(mutex_);
    space_.Unreserve(std::exchange(fetch.reserved_bytes, 0));
    empty = settled && series->entry.present == 0;
  }
  const bool removed =
      empty && disk_->RemoveDirectory(layout_.SeriesDirectory(series->id)).has_value();
  CommitStep("cache.fetch.ended");
  MutexLock lock(mutex_);
  if (removed) space_.Release(std::exchange(series->entry.disk_bytes, 0));
  if (settled && !series->leftovers) series->entry.unsettled = false;
  series->has_writer = false;
  EditLocked(series);
  settled_.NotifyAll();
}

}  // namespace tciafs::cache
