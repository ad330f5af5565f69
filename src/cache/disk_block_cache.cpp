// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/disk_block_cache.h"

#include <algorithm>
#include <utility>

#include "cache/disk_errors.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::cache {
namespace {

// When a series was last used is worth a commit of its own only so often.
constexpr int64_t kUsesPersistMs = 60'000;

tl::unexpected<Error> Miss(const source::SopUid& sop) {
  return Fail(Errc::kNotFound, sop.text() + ": not in the cache");
}

KnownInstance ToKnown(const source::SopUid& sop, const InstanceEntry& entry) {
  return {sop, entry.size_bytes, entry.md5_hex, entry.present};
}

}  // namespace

DiskBlockCache::DiskBlockCache(const CacheOptions& options, const Clock& clock,
                               std::unique_ptr<Disk> disk, OwnerLock owner,
                               std::unique_ptr<Index> index)
    : options_(options),
      clock_(clock),
      layout_(options.directory),
      disk_(std::move(disk)),
      owner_(std::move(owner)),
      index_(std::move(index)),
      space_(options.cap_bytes, options.free_floor_bytes, options.free_floor_percent) {
  space_.set_index_bytes(index_->file_bytes());
}

DiskBlockCache::~DiskBlockCache() {
  std::list<std::shared_ptr<StoredInstance>> held;
  bool damaged = false;
  {
    MutexLock lock(mutex_);
    held.swap(held_);
    damaged = index_damaged_;
  }
  held.clear();
  Status status = Commit();
  CommitStep("cache.close.committed");
  if (status) status = index_->Sync();
  CommitStep("cache.close.synced");
  // Not closed: the next owner looks the index over.
  if (status && !damaged) status = owner_.Write(OwnerLock::Stage::kClosed);
  if (!status) LogWarning("cache {}: {}", layout_.root(), status.error().message);
  CommitStep("cache.close.done");
}

void DiskBlockCache::Adopt(SeriesEntry entry, bool recovered) {
  MutexLock lock(mutex_);
  known_ += entry.known;
  last_use_ms_ = std::max(last_use_ms_, entry.last_use_ms);  // also where the clock was ahead once
  space_.Claim(entry.disk_bytes);
  if (entry.present == 0 && entry.disk_bytes == 0 && !entry.pinned && !recovered) return;
  const auto series = std::make_shared<SeriesState>(std::move(entry));
  series_.emplace(series->id, series);
  series->leftovers = series->entry.unsettled;
  if (recovered) EditLocked(series);  // the index still says that it is unsettled
}

void DiskBlockCache::ClaimSpace(int64_t bytes) {
  MutexLock lock(mutex_);
  space_.Claim(bytes);
}

SeriesRef DiskBlockCache::FindLocked(const SeriesKey& key) const {
  const auto found = series_.find(SeriesIdOf(key));
  return found != series_.end() && found->second->entry.key == key ? found->second : nullptr;
}

Result<SeriesRef> DiskBlockCache::Load(const SeriesKey& key) {
  const SeriesId id = SeriesIdOf(key);
  for (;;) {
    uint64_t drops = 0;
    {
      MutexLock lock(mutex_);
      while (pruning_.count(id) != 0) settled_.Wait(mutex_);
      if (auto series = FindLocked(key)) return series;
      if (series_.count(id) != 0) return Fail(Errc::kInternal, "two series with the same hash");
      drops = drops_;
    }
    auto entry = index_->Series(id);
    if (!entry) {
      NoteIndexError(entry.error());  // and what it said of the instances cannot be placed
      TCIAFS_TRY(index_->Commit([&] {
        IndexChanges changes;
        changes.series_gone.push_back(id);
        return changes;
      }));
    }
    if (entry && *entry && (*entry)->key != key) return Fail(Errc::kInternal, "same hash");
    SeriesEntry fresh;
    fresh.key = key;
    const auto series =
        std::make_shared<SeriesState>(entry && *entry ? std::move(**entry) : std::move(fresh));
    MutexLock lock(mutex_);
    if (drops_ != drops) continue;  // what was read may be old by now
    return series_.emplace(id, series).first->second;
  }
}

std::optional<SeriesEntry> DiskBlockCache::EntryOf(const SeriesKey& key) const {
  {
    MutexLock lock(mutex_);
    if (const auto series = FindLocked(key)) return series->entry;
  }
  const auto entry = index_->Series(SeriesIdOf(key));
  if (!entry) NoteIndexError(entry.error());
  if (!entry || !*entry || (*entry)->key != key) return std::nullopt;
  return **entry;
}

void DiskBlockCache::EditLocked(const SeriesRef& series) {
  ++series->edition;
  edited_.insert(series);
}

void DiskBlockCache::ChangeLocked(const SeriesRef& series) {
  ++series->changes;
  EditLocked(series);
}

void DiskBlockCache::DropIfIdleLocked(const SeriesRef& series) {
  if (!series->Idle() || edited_.count(series) != 0) return;
  const auto found = series_.find(series->id);
  if (found == series_.end() || found->second != series) return;
  series_.erase(found);
  ++drops_;
}

void DiskBlockCache::TouchLocked(const SeriesRef& series) {
  last_use_ms_ = std::max(clock_.UnixMs(), last_use_ms_ + 1);  // later than all before: it orders
  series->entry.last_use_ms = last_use_ms_;
  EditLocked(series);
}

std::shared_ptr<StoredInstance> DiskBlockCache::LiveLocked(const SeriesState& series,
                                                           const source::SopUid& sop) const {
  const auto live = series.live.find(sop);
  return live == series.live.end() ? nullptr : live->second.instance.lock();
}

std::optional<InstanceEntry> DiskBlockCache::Find(const SeriesState& series,
                                                  const source::SopUid& sop) const {
  {
    MutexLock lock(mutex_);
    const auto pending = series.pending.find(sop);
    if (pending != series.pending.end()) {
      if (pending->second.gone) return std::nullopt;
      return pending->second.entry;
    }
    if (series.outdated) return std::nullopt;
  }
  auto entry = index_->Instance(series.id, sop);
  if (entry) return std::move(*entry);
  NoteIndexError(entry.error());
  return std::nullopt;
}

Result<std::shared_ptr<InstanceFile>> DiskBlockCache::Open(const SeriesKey& key,
                                                           const source::SeriesVersion& version,
                                                           const source::SopUid& sop) {
  SeriesRef series;
  {
    MutexLock lock(mutex_);
    series = FindLocked(key);
    if (!series || !source::SameVersion(series->entry.version, version)) return Miss(sop);
  }
  CommitUsesIfDue();
  return OpenIn(series, sop);
}

Result<std::shared_ptr<InstanceFile>> DiskBlockCache::OpenIn(const SeriesRef& series,
                                                             const source::SopUid& sop) {
  for (;;) {
    uint64_t changes = 0;
    {
      MutexLock lock(mutex_);
      const auto current = series_.find(series->id);
      if (current == series_.end() || current->second != series) return Miss(sop);  // dropped
      if (series->wiping || series->withdrawing.count(sop) != 0) return Miss(sop);
      if (auto live = LiveLocked(*series, sop)) {
        TouchLocked(series);
        return live;
      }
      changes = series->changes;
      ++series->opening;
    }
    auto opened = OpenStored(series, sop, changes);
    std::shared_ptr<StoredInstance> other;  // either one is let go without the lock
    {
      MutexLock lock(mutex_);
      --series->opening;
      if (series->changes != changes) continue;
      if (!opened) {
        DropIfIdleLocked(series);
        return Fail(opened.error());
      }
      TouchLocked(series);
      other = LiveLocked(*series, sop);
      if (!other) series->live[sop] = {*opened, opened->get()};
    }
    return other ? other : *opened;
  }
}

Result<std::shared_ptr<StoredInstance>> DiskBlockCache::OpenStored(const SeriesRef& series,
                                                                   const source::SopUid& sop,
                                                                   uint64_t changes) {
  bool intact = false;
  {
    MutexLock lock(mutex_);
    intact = series->intact.Has(sop);
  }
  auto entry = Find(*series, sop);
  if (!entry || !entry->present) return Miss(sop);
  auto fd = disk_->Open(layout_.SeriesDirectory(series->id) + "/" + InstanceFileName(sop));
  if (!fd && !BlamesDisk(fd.error())) return Fail(Errc::kBusy, fd.error().message);
  const auto size = fd ? disk_->Size(fd->get()) : Result<int64_t>(Fail(fd.error()));
  if (size && *size == entry->size_bytes) {
    return std::make_shared<StoredInstance>(*this, series, sop, std::move(*fd), std::move(*entry),
                                            StoredInstance::Backing::kDisk, intact);
  }
  LogError("cache: instance {} is lost: {}", sop.text(),
           size ? "its file has another size" : size.error().message);
  Removal removal;
  removal.series = series;
  removal.sop = sop;
  removal.only_if_changes = changes;
  (void)RemoveInstance(removal);
  return Miss(sop);
}

std::vector<KnownInstance> DiskBlockCache::Known(const SeriesKey& key,
                                                 const source::SeriesVersion& version) const {
  const auto entry = EntryOf(key);
  if (!entry || !source::SameVersion(entry->version, version)) return {};
  std::map<source::SopUid, SeriesState::Pending> pending;
  std::vector<std::shared_ptr<StoredInstance>> lives;  // let go without the lock
  bool outdated = false;
  {
    MutexLock lock(mutex_);
    if (const auto series = FindLocked(key)) {
      outdated = series->outdated;
      pending = series->pending;
      for (const auto& [sop, live] : series->live)
        if (auto instance = live.instance.lock()) lives.push_back(std::move(instance));
    }
  }
  std::map<source::SopUid, KnownInstance> known;
  auto stored =
      outdated ? Result<InstanceList>(InstanceList()) : index_->Instances(SeriesIdOf(key));
  if (!stored) NoteIndexError(stored.error());
  if (stored)
    for (const auto& [sop, instance] : *stored) known[sop] = ToKnown(sop, instance);
  for (const auto& [sop, change] : pending) {
    if (change.gone) {
      known.erase(sop);
    } else {
      known[sop] = ToKnown(sop, change.entry);
    }
  }
  for (const auto& live : lives)
    known[live->sop()] = {live->sop(), live->size_bytes(), live->md5_hex(), true};
  std::vector<KnownInstance> list;
  list.reserve(known.size());
  for (auto& [sop, instance] : known) list.push_back(std::move(instance));
  return list;
}

std::optional<KnownInstance> DiskBlockCache::Known(const SeriesKey& key,
                                                   const source::SeriesVersion& version,
                                                   const source::SopUid& sop) const {
  std::shared_ptr<StoredInstance> live;
  SeriesRef series;
  {
    MutexLock lock(mutex_);
    series = FindLocked(key);
    if (series && !source::SameVersion(series->entry.version, version)) return std::nullopt;
    if (series) live = LiveLocked(*series, sop);
  }
  if (live) return KnownInstance{sop, live->size_bytes(), live->md5_hex(), true};
  if (!series) {
    auto entry = EntryOf(key);
    if (!entry || !source::SameVersion(entry->version, version)) return std::nullopt;
    series = std::make_shared<SeriesState>(std::move(*entry));
  }
  const auto found = Find(*series, sop);
  if (!found) return std::nullopt;
  return ToKnown(sop, *found);
}

bool DiskBlockCache::Verified(const SeriesKey& key, const source::SeriesVersion& version) const {
  MutexLock lock(mutex_);
  const auto series = FindLocked(key);
  return series && series->entry.verified && !series->wiping &&
         source::SameVersion(series->entry.version, version);
}

Status DiskBlockCache::Pin(const SeriesKey& key, bool pinned) {
  return Pin(std::vector{SeriesPlan{key, {}}}, pinned);
}

Status DiskBlockCache::Pin(const std::vector<SeriesPlan>& plans, bool pinned) {
  Status status;
  for (const SeriesPlan& plan : plans) {
    status = SetPinned(plan, pinned);
    if (!status) break;
  }
  TCIAFS_TRY(Commit());
  return status;
}

Status DiskBlockCache::SetPinned(const SeriesPlan& plan, bool pinned) {
  if (!pinned) {
    MutexLock lock(mutex_);
    if (!FindLocked(plan.key)) return {};  // pinned series are in memory
  }
  TCIAFS_TRY(CheckIds(plan));
  for (;;) {
    TCIAFS_ASSIGN(const SeriesRef series, Load(plan.key));
    MutexLock lock(mutex_);
    if (FindLocked(plan.key) != series) continue;
    series->entry.pinned = pinned;
    // Of one that was never here: how much it lacks is told by this.
    const bool nothing_here = series->entry.known == 0 && series->entry.disk_bytes == 0 &&
                              !series->InUse() && !series->outdated;
    if (pinned && nothing_here && plan.version.total_bytes >= 0)
      series->entry.version = plan.version;
    EditLocked(series);
    return {};
  }
}

bool DiskBlockCache::Pinned(const SeriesKey& key) const {
  MutexLock lock(mutex_);
  const auto series = FindLocked(key);
  return series && series->entry.pinned;
}

Status DiskBlockCache::Evict(const SeriesKey& key) {
  SeriesRef series;
  {
    MutexLock lock(mutex_);
    series = FindLocked(key);
    while (series && (series->wiping || !series->withdrawing.empty())) settled_.Wait(mutex_);
    if (!series || (series->entry.present == 0 && series->live.empty() && !series->leftovers))
      return Fail(Errc::kNotFound, key.series.text() + ": not in the cache");
    if (series->has_writer) return Fail(Errc::kBusy, key.series.text() + ": is being fetched");
    MarkWipingLocked(*series);
  }
  return Wipe(series, Remember::kKnown);
}

Usage DiskBlockCache::usage() const {
  const auto disk = disk_->Space(layout_.root());
  const int64_t index_bytes = index_->file_bytes();
  MutexLock lock(mutex_);
  Usage usage;
  usage.cap_bytes = space_.cap_bytes();
  usage.used_bytes = space_.files_bytes() + index_bytes;
  usage.reserved_bytes = space_.reserved_bytes();
  usage.degraded = degraded_;
  usage.evictions = evictions_;
  if (disk) {
    usage.free_floor_bytes = space_.FloorBytes(*disk);
    usage.disk_free_bytes = disk->free_bytes;
  }
  for (const auto& [id, series] : series_) {
    usage.series += series->entry.present > 0 ? 1 : 0;
    usage.series_pinned += series->entry.pinned ? 1 : 0;
    usage.instances += series->entry.present;
  }
  return usage;
}

void DiskBlockCache::CommitUsesIfDue() {
  {
    MutexLock lock(mutex_);
    if (edited_.empty() || clock_.MonotonicMs() < commit_due_ms_) return;
    commit_due_ms_ = clock_.MonotonicMs() + kUsesPersistMs;
  }
  (void)Commit();  // a failure is noted, and of no interest to a reader
}

IndexChanges DiskBlockCache::TakePending(std::map<SeriesRef, uint64_t>& taken) const {
  MutexLock lock(mutex_);
  IndexChanges changes;
  for (const SeriesRef& series : edited_) {
    if (series->outdated) continue;  // the index holds what it was, as a whole
    taken[series] = series->edition;
    const SeriesEntry& entry = series->entry;
    if (series->Idle() && entry.known == 0 && !entry.unsettled) {
      changes.series_gone.push_back(series->id);
    } else {
      changes.series.push_back(entry);
    }
    for (const auto& [sop, change] : series->pending) {
      const std::string key = InstanceKey(series->id, sop);
      if (change.gone) {
        changes.instances_gone.push_back(key);
      } else {
        changes.instances.emplace_back(key, change.entry);
      }
    }
  }
  return changes;
}

Status DiskBlockCache::CommitOnce() {
  std::map<SeriesRef, uint64_t> taken;
  const Status status = index_->Commit([&] { return TakePending(taken); });
  const int64_t index_bytes = index_->file_bytes();
  MutexLock lock(mutex_);
  space_.set_index_bytes(index_bytes);
  if (!status) return status;
  commit_due_ms_ = clock_.MonotonicMs() + kUsesPersistMs;
  for (const auto& [series, edition] : taken) {
    for (auto change = series->pending.begin(); change != series->pending.end();)
      change = change->second.edition <= edition ? series->pending.erase(change) : ++change;
    if (series->edition != edition) continue;
    edited_.erase(series);
    DropIfIdleLocked(series);
  }
  return {};
}

Status DiskBlockCache::Commit() {
  Status status = CommitOnce();
  if (!status && status.error().code == Errc::kNoSpace) {
    PruneRemembered(/*much=*/true);
    status = CommitOnce();
  }
  if (!status) NoteDiskFailure(status.error());
  return status;
}

void DiskBlockCache::NoteIndexError(const Error& error) const {
  LogError("cache index: {}", error.message);
  if (error.code != Errc::kCorrupt) return;
  MutexLock lock(mutex_);
  index_damaged_ = true;
}

}  // namespace tciafs::cache
