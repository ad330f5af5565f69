// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Space: reserving it, evicting for it, and removing the bytes of a series.
#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "cache/disk_block_cache.h"
#include "cache/disk_errors.h"
#include "cache/series_writer.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::cache {
namespace {

// Forgotten in one transaction.
constexpr size_t kForgetSeriesStep = 32;
// A reservation that ran out is stretched by this, or a share of a small cap.
constexpr int64_t kReserveStepBytes = int64_t{8} << 20;
constexpr int64_t kReserveStepShare = 16;
// On top of what a plan says: the journal, a file half written.
constexpr int64_t kPlanSlackBytes = 64 << 10;
// Another process may fill the disk: its free space is looked at each time so much was written, no
// more than what is kept free above the floor (Space::HeadroomBytes).
constexpr int64_t kLookBytes = int64_t{1} << 20;

}  // namespace

Status DiskBlockCache::CheckFits(const SeriesPlan& plan) const {
  if (plan.version.total_bytes < 0) return {};
  const int64_t needed = FinalBytes(plan.version);
  MutexLock lock(mutex_);
  if (needed <= space_.CapacityBytes()) return {};
  return Fail(Errc::kNoSpace, "series needs " + FormatSize(needed) + ", cache holds at most " +
                                  FormatSize(std::max<int64_t>(space_.CapacityBytes(), 0)));
}

// With the last unit of each file, and the directory.
int64_t DiskBlockCache::FinalBytes(const source::SeriesVersion& version) {
  if (version.total_bytes < 0) return 0;
  const int64_t instances = std::clamp<int64_t>(version.image_count, 0, kPlanInstancesMax);
  return std::min(version.total_bytes, kPlanBytesMax) + instances * kDiskUnitBytes +
         DirectoryBytes(instances);
}

int64_t DiskBlockCache::PlannedBytes(const SeriesPlan& plan, const SeriesState& series) const {
  if (plan.version.total_bytes < 0) return 0;
  return std::max<int64_t>(0, FinalBytes(plan.version) + kPlanSlackBytes - series.entry.disk_bytes);
}

RoomFor DiskBlockCache::CheckRoom(const std::vector<SeriesPlan>& wanted) const {
  std::map<SeriesId, const SeriesPlan*> plans;
  for (const SeriesPlan& plan : wanted) plans[SeriesIdOf(plan.key)] = &plan;
  const auto disk = disk_->Space(layout_.root());
  RoomFor room;
  MutexLock lock(mutex_);
  int64_t evictable_bytes = 0;
  for (const auto& [id, plan] : plans) {
    const auto found = series_.find(id);
    const SeriesState* here = found != series_.end() ? found->second.get() : nullptr;
    if (here != nullptr && here->has_writer) continue;  // promised already
    if (here != nullptr && here->entry.verified &&
        source::SameVersion(here->entry.version, plan->version))
      continue;
    room.needed_bytes += std::max<int64_t>(
        0, FinalBytes(plan->version) - (here != nullptr ? here->entry.disk_bytes : 0));
  }
  for (const auto& [id, series] : series_) {
    if (plans.count(id) != 0) continue;
    const SeriesEntry& entry = series->entry;
    if (entry.pinned) {
      room.pinned_bytes += entry.disk_bytes;
      if (!series->has_writer && !entry.verified)
        room.pinned_lack_bytes +=
            std::max<int64_t>(0, FinalBytes(entry.version) - entry.disk_bytes);
    } else if (series->Evictable()) {
      evictable_bytes += entry.disk_bytes;
    } else {
      room.in_use_bytes += entry.disk_bytes;
    }
  }
  const DiskSpace boundless{std::numeric_limits<int64_t>::max() / 2, 0};
  const int64_t slack_bytes = room.needed_bytes > 0 ? kPlanSlackBytes : 0;
  room.room_bytes = std::max<int64_t>(
      0, evictable_bytes - space_.LackingBytes(slack_bytes, disk ? *disk : boundless));
  return room;
}

Status DiskBlockCache::MakeRoom(int64_t bytes, Room room) {
  for (;;) {
    TCIAFS_ASSIGN(const DiskSpace disk, disk_->Space(layout_.root()));
    std::vector<SeriesRef> victims;
    {
      MutexLock lock(mutex_);
      const bool reserve = room == Room::kReserve;
      const int64_t lacking =
          reserve ? space_.LackingBytes(bytes, disk) : space_.UnderFloorBytes(bytes, disk);
      if (lacking <= 0) {
        if (reserve) space_.Reserve(bytes);
        return {};
      }
      if (wipes_ > 0) {  // space is on its way
        settled_.Wait(mutex_);
        continue;
      }
      victims = PickVictimsLocked(lacking);
      if (victims.empty()) {
        return Fail(Errc::kNoSpace, FormatSize(lacking) + " too little (cap " +
                                        FormatSize(space_.cap_bytes()) + ", used " +
                                        FormatSize(space_.used_bytes()) + ", promised " +
                                        FormatSize(space_.reserved_bytes()) + ", in use " +
                                        FormatSize(InUseBytesLocked()) + ", disk has " +
                                        FormatSize(disk.free_bytes) + " free and keeps " +
                                        FormatSize(space_.FloorBytes(disk)) +
                                        "), and what could be evicted does not suffice");
      }
    }
    TCIAFS_TRY(WipeAll(victims));
  }
}

// Ends at the first that fails: where one cannot be removed the next would hardly fare better.
Status DiskBlockCache::WipeAll(const std::vector<SeriesRef>& victims) {
  for (size_t i = 0; i < victims.size(); ++i) {
    Status status = Wipe(victims[i], Remember::kKnown);
    MutexLock lock(mutex_);
    if (status) {
      ++evictions_;
      continue;
    }
    TouchLocked(victims[i]);  // another one is tried first the next time
    for (size_t left = i + 1; left < victims.size(); ++left) UnmarkWipingLocked(*victims[left]);
    return Fail(Errc::kInternal, "cannot evict: " + status.error().message);
  }
  return {};
}

std::vector<SeriesRef> DiskBlockCache::PickVictimsLocked(int64_t lacking_bytes) {
  // A heap, since of many series few have to go.
  std::vector<std::pair<int64_t, const SeriesRef*>> candidates;
  candidates.reserve(series_.size());
  for (const auto& [id, series] : series_)
    if (series->Evictable()) candidates.emplace_back(series->entry.last_use_ms, &series);
  const auto used_later = [](const auto& a, const auto& b) { return a.first > b.first; };
  std::make_heap(candidates.begin(), candidates.end(), used_later);
  std::vector<SeriesRef> victims;
  while (lacking_bytes > 0 && !candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end(), used_later);
    victims.push_back(*candidates.back().second);
    candidates.pop_back();
    lacking_bytes -= victims.back()->entry.disk_bytes;
  }
  if (lacking_bytes > 0) return {};
  for (const SeriesRef& victim : victims) MarkWipingLocked(*victim);
  return victims;
}

// Of series that are being read or fetched.
int64_t DiskBlockCache::InUseBytesLocked() const {
  int64_t bytes = 0;
  for (const auto& [id, series] : series_)
    if (series->InUse()) bytes += series->entry.disk_bytes;
  return bytes;
}

void DiskBlockCache::MarkWipingLocked(SeriesState& series) {
  series.wiping = true;
  ++wipes_;
}

void DiskBlockCache::UnmarkWipingLocked(SeriesState& series) {
  series.wiping = false;
  --wipes_;
  settled_.NotifyAll();
}

Status DiskBlockCache::Wipe(const SeriesRef& series, Remember remember) {
  bool keep_known = remember == Remember::kKnown;
  int64_t charged_bytes = 0;
  std::vector<std::shared_ptr<StoredInstance>> lives;  // let go without the lock
  {
    MutexLock lock(mutex_);
    if (series->outdated) keep_known = false;  // what the index remembers is of another version
    charged_bytes = std::exchange(series->entry.disk_bytes, 0);
    for (const auto& [sop, live] : series->live) {
      auto instance = live.instance.lock();
      if (!instance) continue;
      held_.remove(instance);  // not the last reference
      lives.push_back(std::move(instance));
    }
    series->live.clear();
    series->intact.Clear();
    ChangeLocked(series);
    for (auto change = series->pending.begin(); change != series->pending.end();) {
      change->second.entry.present = false;
      change->second.entry.checksums.clear();
      change->second.edition = series->edition;
      change = keep_known ? ++change : series->pending.erase(change);
    }
    if (!keep_known) known_ -= std::exchange(series->entry.known, 0);
    series->entry.present = 0;
    series->entry.verified = false;
    series->entry.unsettled = true;
  }
  Status status = ForgetInIndex(series, keep_known);
  const bool forgotten = status.has_value();
  CommitStep("cache.wipe.forgotten");
  Leftovers left;  // a record without its file is only a miss
  if (Status removed = RemoveFiles(series->id, left); !removed && status)
    status = std::move(removed);
  if (!status) NoteDiskFailure(status.error());
  const int64_t index_bytes = index_->file_bytes();
  {
    MutexLock lock(mutex_);
    space_.set_index_bytes(index_bytes);
    SettleChargesLocked(*series, charged_bytes, left, lives);
    series->outdated = !forgotten;
    series->leftovers = !left.none;
    series->entry.unsettled = !status;  // else the next run looks after what is left
    EditLocked(series);
    UnmarkWipingLocked(*series);
  }
  PruneRemembered(/*much=*/false);
  return status;
}

// A journal of another version would bring its instances back, so it goes first.
Status DiskBlockCache::ForgetInIndex(const SeriesRef& series, bool keep_known) {
  if (!keep_known)
    TCIAFS_TRY(disk_->Remove(layout_.SeriesDirectory(series->id) + "/" + kJournalName));
  CommitStep("cache.wipe.journal_gone");
  const auto take = [&] {
    MutexLock lock(mutex_);
    return series->entry;
  };
  Status forgotten = index_->Forget(series->id, keep_known, take);
  if (!forgotten && forgotten.error().code == Errc::kNoSpace) {
    PruneRemembered(/*much=*/true);
    forgotten = index_->Forget(series->id, keep_known, take);
  }
  return forgotten;
}

// What is left stays charged to the series, what is gone but open to its readers; the rest is free.
void DiskBlockCache::SettleChargesLocked(
    SeriesState& series, int64_t charged_bytes, const Leftovers& left,
    const std::vector<std::shared_ptr<StoredInstance>>& lives) {
  int64_t kept_bytes = 0;
  if (!left.none) kept_bytes = left.listed ? kDiskUnitBytes + left.bytes : charged_bytes;
  series.entry.disk_bytes = kept_bytes;
  for (const auto& live : lives) {
    const bool gone =
        left.none || (left.listed && left.names.count(InstanceFileName(live->sop())) == 0);
    if (live->in_memory() || !gone) continue;
    live->orphaned_bytes = OnDiskBytes(live->size_bytes());
    kept_bytes += live->orphaned_bytes;
  }
  space_.Release(charged_bytes - kept_bytes);
}

// All that can be removed is; the first failure is told.
Status DiskBlockCache::RemoveFiles(const SeriesId& series, Leftovers& left) {
  const std::string directory = layout_.SeriesDirectory(series);
  TCIAFS_ASSIGN(const auto files, disk_->List(directory));
  left.listed = true;
  Status status;
  for (const DiskEntry& file : files) {
    Status removed = disk_->Remove(directory + "/" + file.name);
    CommitStep("cache.wipe.file_removed");
    if (removed) continue;
    if (status) status = std::move(removed);
    left.names.insert(file.name);
    left.bytes += OnDiskBytes(file.size_bytes);
  }
  if (status) status = disk_->RemoveDirectory(directory);
  CommitStep("cache.wipe.directory_removed");
  left.none = status.has_value();
  return status;
}

void DiskBlockCache::PruneRemembered(bool much) {
  int64_t excess = 0;
  {
    MutexLock lock(mutex_);
    const int64_t max = options_.known_max;
    if (known_ <= max && !much) return;
    excess = much ? std::max(known_ / 2, known_ - max) : known_ - max + max / 10;
  }
  struct Remembered {
    int64_t last_use_ms;
    SeriesId id;
    int64_t known;
  };
  std::vector<Remembered> oldest;
  const Status status = index_->VisitSeries([&](const SeriesId& id, const auto& entry) {
    if (entry && entry->present == 0 && !entry->pinned && !entry->unsettled)
      oldest.push_back({entry->last_use_ms, id, entry->known});
  });
  if (!status) return NoteIndexError(status.error());
  std::sort(oldest.begin(), oldest.end(),
            [](const auto& a, const auto& b) { return a.last_use_ms < b.last_use_ms; });
  for (size_t next = 0; next < oldest.size() && excess > 0;) {
    int64_t forgotten_known = 0;
    const auto take = [&] {
      MutexLock lock(mutex_);
      IndexChanges changes;
      for (; next < oldest.size() && changes.series_gone.size() < kForgetSeriesStep && excess > 0;
           ++next) {
        if (series_.count(oldest[next].id) != 0) continue;  // in use again
        changes.series_gone.push_back(oldest[next].id);
        pruning_.insert(oldest[next].id);
        forgotten_known += oldest[next].known;
        excess -= oldest[next].known;
      }
      ++drops_;  // whoever is just loading one of them reads again, once they are gone
      return changes;
    };
    const Status forgotten = index_->Commit(take);
    {
      MutexLock lock(mutex_);
      pruning_.clear();
      if (forgotten) known_ -= forgotten_known;
      settled_.NotifyAll();
    }
    if (!forgotten) return NoteIndexError(forgotten.error());
    CommitStep("cache.prune.committed");
  }
}

void DiskBlockCache::Trim() {
  PruneRemembered(/*much=*/false);
  const Status status = Reserve(0);
  if (!status) LogWarning("cache {}: {}", layout_.root(), status.error().message);
}

Status DiskBlockCache::Claim(int64_t bytes, SeriesFetch& fetch) {
  const int64_t step = std::min(kReserveStepBytes, options_.cap_bytes / kReserveStepShare);
  for (;;) {
    int64_t missing = 0;
    bool look = false;
    {
      MutexLock lock(mutex_);
      missing = bytes - fetch.reserved_bytes;
      look = missing <= 0 && unlooked_bytes_ + bytes > kLookBytes;
      if (look) unlooked_bytes_ = 0;
      if (missing <= 0 && !look) {
        unlooked_bytes_ += bytes;
        fetch.reserved_bytes -= bytes;
        space_.Unreserve(bytes);
        space_.Claim(bytes);
        return {};
      }
    }
    if (look) {
      TCIAFS_TRY(MakeRoom(bytes, Room::kWrite));
      continue;
    }
    int64_t stretch = std::max(missing, step);
    if (!Reserve(stretch)) {
      stretch = missing;
      TCIAFS_TRY(Reserve(stretch));
    }
    MutexLock lock(mutex_);
    fetch.reserved_bytes += stretch;
  }
}

void DiskBlockCache::Unclaim(int64_t bytes) {
  MutexLock lock(mutex_);
  space_.Release(bytes);
}

void DiskBlockCache::NoteLeftover(const SeriesRef& series, int64_t bytes) {
  MutexLock lock(mutex_);
  series->leftovers = true;
  series->entry.unsettled = true;
  series->entry.disk_bytes += bytes;
  EditLocked(series);
}

}  // namespace tciafs::cache
