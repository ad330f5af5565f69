// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How instances come into the cache, leave it, and live in memory while the disk fails.
#include <utility>

#include "cache/disk_block_cache.h"
#include "cache/disk_errors.h"
#include "cache/series_writer.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::cache {
namespace {

// A disk that failed is tried again after this.
constexpr int64_t kDiskRetryMs = 60'000;

}  // namespace

Result<DiskBlockCache::Finding> DiskBlockCache::BeginInstance(const SeriesRef& series,
                                                              const source::SopUid& sop) {
  std::shared_ptr<StoredInstance> live;
  {
    MutexLock lock(mutex_);
    while (series->withdrawing.count(sop) != 0) settled_.Wait(mutex_);
    if (!series->writing.insert(sop).second)
      return Fail(Errc::kBusy, sop.text() + ": is being written already");
    live = LiveLocked(*series, sop);
  }
  const auto entry = Find(*series, sop);
  if (live || (entry && entry->present)) {
    EndInstance(series, sop);
    return Finding::kPresent;
  }
  return entry ? Finding::kKnown : Finding::kNew;
}

void DiskBlockCache::EndInstance(const SeriesRef& series, const source::SopUid& sop) {
  MutexLock lock(mutex_);
  series->writing.erase(sop);
}

std::shared_ptr<StoredInstance> DiskBlockCache::Add(const SeriesRef& series,
                                                    const source::SopUid& sop, UniqueFd fd,
                                                    InstanceEntry entry, bool was_known,
                                                    StoredInstance::Backing backing,
                                                    int64_t growth_bytes) {
  const auto instance = std::make_shared<StoredInstance>(*this, series, sop, std::move(fd), entry,
                                                         backing, /*intact=*/true);
  std::shared_ptr<StoredInstance> dropped;  // let go without the lock
  MutexLock lock(mutex_);
  series->live[sop] = {instance, instance.get()};
  TouchLocked(series);
  ChangeLocked(series);
  if (instance->in_memory()) {
    held_.push_back(instance);
    if (held_.size() > kHeldMax) {
      dropped = std::move(held_.front());
      held_.pop_front();
    }
    return instance;
  }
  if (!was_known) {
    ++known_;
    ++series->entry.known;
  }
  const int64_t grown_bytes =  // some may have been withdrawn since it was claimed
      DirectoryBytes(series->entry.present + 1) - DirectoryBytes(series->entry.present);
  space_.Claim(grown_bytes - growth_bytes);
  ++series->entry.present;
  series->entry.disk_bytes += OnDiskBytes(entry.size_bytes) + grown_bytes;
  series->intact.Add(sop);
  series->pending[sop] = {std::move(entry), /*gone=*/false, series->edition};
  return instance;
}

int64_t DiskBlockCache::DirectoryGrowthBytes(const SeriesState& series) const {
  MutexLock lock(mutex_);
  return DirectoryBytes(series.entry.present + 1) - DirectoryBytes(series.entry.present);
}

Status DiskBlockCache::Withdraw(const SeriesRef& series, const source::SopUid& sop) {
  Removal removal;
  removal.series = series;
  removal.sop = sop;
  removal.forget = true;  // the bytes were wrong, so their size and sum are no knowledge
  return RemoveInstance(removal);
}

void DiskBlockCache::WithdrawDamaged(StoredInstance& instance, const Error& why) {
  Removal removal;
  removal.series = instance.series();
  removal.sop = instance.sop();
  removal.only_if = &instance;
  instance.Revoke();
  if (RemoveInstance(removal)) LogError("cache: {}; it will be fetched again", why.message);
}

Status DiskBlockCache::RemoveInstance(const Removal& removal) {
  const auto& [series, sop, only_if, only_if_changes, forget] = removal;
  std::shared_ptr<StoredInstance> live;
  {
    MutexLock lock(mutex_);
    while (series->wiping || series->withdrawing.count(sop) != 0) settled_.Wait(mutex_);
    const auto found = series->live.find(sop);
    const StoredInstance* current = found == series->live.end() ? nullptr : found->second.identity;
    if ((only_if != nullptr && only_if != current) ||
        (only_if_changes && *only_if_changes != series->changes))
      return Fail(Errc::kNotFound, sop.text() + ": gone already");
    if (current != nullptr) live = found->second.instance.lock();
    series->withdrawing.insert(sop);
  }
  if (live) live->Revoke();
  auto entry = Find(*series, sop);
  const bool stored = entry && entry->present;
  bool removed = true;
  if (stored) {
    const auto directory = layout_.SeriesDirectory(series->id);
    Status status = disk_->Remove(directory + "/" + InstanceFileName(sop));
    CommitStep("cache.withdraw.file_removed");
    removed = status.has_value();
    // What an older index or journal says of it must not be true again after a power failure.
    if (removed) status = disk_->SyncDirectory(directory);
    if (!status) NoteDiskFailure(status.error());
  }
  std::list<std::shared_ptr<StoredInstance>> dropped;  // let go without the lock
  {
    MutexLock lock(mutex_);
    for (auto held = held_.begin(); held != held_.end();) {
      const auto next = std::next(held);
      if (*held == live) dropped.splice(dropped.end(), held_, held);
      held = next;
    }
    series->live.erase(sop);
    if (stored || live) series->entry.verified = false;
    series->intact.Drop(sop);
    series->withdrawing.erase(sop);
    ChangeLocked(series);
    if (stored) {
      const int64_t bytes = OnDiskBytes(entry->size_bytes);
      const int64_t shrunk_bytes =
          DirectoryBytes(series->entry.present) - DirectoryBytes(series->entry.present - 1);
      --series->entry.present;
      series->entry.disk_bytes -= shrunk_bytes;
      space_.Release(shrunk_bytes);
      if (removed) {
        series->entry.disk_bytes -= bytes;
      } else {  // charged to the series until that is wiped
        series->leftovers = true;
        series->entry.unsettled = true;
      }
      if (removed && live && !live->in_memory()) {
        live->orphaned_bytes = bytes;
      } else if (removed) {
        space_.Release(bytes);
      }
      if (forget) {
        --known_;
        --series->entry.known;
      }
      entry->present = false;
      entry->checksums.clear();
      series->pending[sop] = {std::move(*entry), forget, series->edition};
    }
    settled_.NotifyAll();
  }
  if (!stored && !live) return Fail(Errc::kNotFound, sop.text() + ": not in the cache");
  (void)Commit();  // if it fails, the missing file tells the next run
  return {};
}

void DiskBlockCache::NoteIntact(const StoredInstance& instance) {
  MutexLock lock(mutex_);
  const auto& series = instance.series();
  const auto live = series->live.find(instance.sop());
  if (live != series->live.end() && live->second.identity == &instance)
    series->intact.Add(instance.sop());
}

bool DiskBlockCache::InVerifiedSeries(const StoredInstance& instance) const {
  MutexLock lock(mutex_);
  const SeriesState& series = *instance.series();
  const auto live = series.live.find(instance.sop());
  return series.entry.verified && !series.wiping && live != series.live.end() &&
         live->second.identity == &instance;
}

void DiskBlockCache::Closed(const StoredInstance& instance) {
  MutexLock lock(mutex_);
  const auto& series = instance.series();
  const auto live = series->live.find(instance.sop());
  if (live != series->live.end() && live->second.identity == &instance) series->live.erase(live);
  space_.Release(instance.orphaned_bytes);
  if (instance.in_memory()) memory_bytes_ -= instance.size_bytes();
  DropIfIdleLocked(series);
}

Status DiskBlockCache::ClaimMemory(int64_t bytes) {
  const int64_t max = options_.memory_bytes_max;
  for (;;) {
    std::shared_ptr<StoredInstance> dropped;  // let go without the lock
    MutexLock lock(mutex_);
    const bool fits = memory_bytes_ + bytes <= (held_.empty() ? 2 * max : max);
    if (fits) {
      memory_bytes_ += bytes;
      return {};
    }
    if (held_.empty())
      return Fail(Errc::kNoSpace, "the cache disk has failed and its memory is full");
    dropped = std::move(held_.front());
    held_.pop_front();
  }
}

void DiskBlockCache::UnclaimMemory(int64_t bytes) {
  MutexLock lock(mutex_);
  memory_bytes_ -= bytes;
}

bool DiskBlockCache::DiskUsable() const {
  MutexLock lock(mutex_);
  return !degraded_ || clock_.MonotonicMs() >= disk_retry_ms_;
}

void DiskBlockCache::NoteDiskFailure(const Error& error) {
  if (!BlamesDisk(error)) return;
  {
    MutexLock lock(mutex_);
    disk_retry_ms_ = clock_.MonotonicMs() + kDiskRetryMs;
    if (std::exchange(degraded_, true)) return;
  }
  LogError("cache {}: the disk fails ({}); what is fetched now is kept in memory only",
           layout_.root(), error.message);
}

// What memory held in the disk's place is let go: it would keep its memory and descriptors for
// ever, and its series from being evicted.
void DiskBlockCache::NoteDiskWorks() {
  std::list<std::shared_ptr<StoredInstance>> dropped;  // let go without the lock
  {
    MutexLock lock(mutex_);
    if (!std::exchange(degraded_, false)) return;
    dropped.swap(held_);
  }
  LogInfo("cache {}: the disk works again", layout_.root());
}

}  // namespace tciafs::cache
