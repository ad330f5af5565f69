// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The block cache on a disk. The parts: series in memory (series_state.h), the index they are
// persisted in, the space they may take, and the instances held in memory while the disk fails.
//
// The difficulties, and where they are met:
//   1. commits wait for the disk, publishing must not: pending changes override the index, and the
//      journal of the fetch keeps them over a kill (Commit, SeriesFetch);
//   2. the index is read without the lock, so what was read may be old by then:
//   SeriesState::changes
//      tells, and the reader starts over (Open, Find);
//   3. space is given back only when the files are gone, and eviction takes long: those who need
//      space meanwhile wait for it instead of evicting more (Reserve, Wipe);
//   4. a file that is unlinked while open still takes its space: its last reader gives it back
//      (StoredInstance::orphaned_bytes, Closed).
//
// Thread-safe. One mutex guards all state; it is never held across a call of the index or the disk,
// nor while a StoredInstance may be destroyed (its destructor takes it).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cache/disk.h"
#include "cache/index.h"
#include "cache/layout.h"
#include "cache/owner_lock.h"
#include "cache/series_state.h"
#include "cache/space.h"
#include "cache/stored_instance.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/util/mutex.h"

namespace tciafs::cache {

class SeriesFetch;
using SeriesRef = std::shared_ptr<SeriesState>;

class DiskBlockCache final : public BlockCache {
 public:
  DiskBlockCache(const CacheOptions& options, const Clock& clock, std::unique_ptr<Disk> disk,
                 OwnerLock owner, std::unique_ptr<Index> index);
  ~DiskBlockCache() override;

  Result<std::shared_ptr<InstanceFile>> Open(const SeriesKey& key,
                                             const source::SeriesVersion& version,
                                             const source::SopUid& sop) override;
  std::vector<KnownInstance> Known(const SeriesKey& key,
                                   const source::SeriesVersion& version) const override;
  std::optional<KnownInstance> Known(const SeriesKey& key, const source::SeriesVersion& version,
                                     const source::SopUid& sop) const override;
  Result<std::unique_ptr<SeriesWriter>> BeginSeries(const SeriesPlan& plan) override;
  bool Verified(const SeriesKey& key, const source::SeriesVersion& version) const override;
  Status Pin(const SeriesKey& key, bool pinned) override;
  Status Pin(const std::vector<SeriesPlan>& plans, bool pinned) override;
  bool Pinned(const SeriesKey& key) const override;
  RoomFor CheckRoom(const std::vector<SeriesPlan>& wanted) const override;
  Status Evict(const SeriesKey& key) override;
  std::vector<CachedSeries> Cached() const override;
  Status CheckIntact(const SeriesKey& key, const source::SopUid& sop,
                     const std::stop_token& stop) override;
  Usage usage() const override;

  // For opening, before anybody else knows the cache: takes a series of the index in, counting its
  // space; and the space of what belongs to no series. One that was recovered and is unsettled all
  // the same has files that could not be removed.
  void Adopt(SeriesEntry entry, bool recovered);
  void ClaimSpace(int64_t bytes);
  // Brings the cache within its (perhaps new) limits.
  void Trim();

  // For the fetch and the instances.
  Disk& disk() { return *disk_; }
  const Layout& layout() const { return layout_; }
  Status Commit();  // everything that is pending
  // What is present of a series, or was once: of pending changes and the index together.
  std::optional<InstanceEntry> Find(const SeriesState& series, const source::SopUid& sop) const;
  // kNotFound if it is not there (any more).
  Result<std::shared_ptr<InstanceFile>> OpenIn(const SeriesRef& series, const source::SopUid& sop);
  // Takes space for a file from the reservation, stretching it (and evicting) where it ends.
  Status Claim(int64_t bytes, SeriesFetch& fetch);
  void Unclaim(int64_t bytes);
  // A file could not be removed: its (claimed) bytes are the series' now, until that is wiped.
  void NoteLeftover(const SeriesRef& series, int64_t bytes);
  int64_t instance_bytes_max() const { return options_.instance_bytes_max; }
  Status ClaimMemory(int64_t bytes);
  void UnclaimMemory(int64_t bytes);
  // What BeginInstance finds: bytes, a record without bytes, or nothing; kBusy if another writer is
  // at this instance. Unless the bytes are there the caller is its writer until EndInstance.
  enum class Finding { kNew, kKnown, kPresent };
  Result<Finding> BeginInstance(const SeriesRef& series, const source::SopUid& sop);
  void EndInstance(const SeriesRef& series, const source::SopUid& sop);
  // The bytes are in place: makes the instance visible.
  std::shared_ptr<StoredInstance> Add(const SeriesRef& series, const source::SopUid& sop,
                                      UniqueFd fd, InstanceEntry entry, bool was_known,
                                      StoredInstance::Backing backing, int64_t growth_bytes = 0);
  // What one more instance adds to the directory; claimed by the fetch, taken over by Add.
  int64_t DirectoryGrowthBytes(const SeriesState& series) const;
  Status Withdraw(const SeriesRef& series, const source::SopUid& sop);
  void MarkVerified(const SeriesRef& series);
  void EndFetch(SeriesFetch& fetch, bool settled);
  bool NothingPending(const SeriesState& series) const;
  void WithdrawDamaged(StoredInstance& instance, const Error& why);
  void NoteIntact(const StoredInstance& instance);
  bool InVerifiedSeries(const StoredInstance& instance) const;
  void Closed(const StoredInstance& instance);

  bool DiskUsable() const;
  void NoteDiskFailure(const Error& error);
  void NoteDiskWorks();

 private:
  enum class Remember { kNothing, kKnown };
  struct Removal {  // an instance to be withdrawn
    SeriesRef series;
    source::SopUid sop;
    const StoredInstance* only_if = nullptr;  // still this object
    std::optional<uint64_t> only_if_changes;  // nothing has changed since
    bool forget = false;                      // its size and MD5 too
  };

  SeriesRef FindLocked(const SeriesKey& key) const TCIAFS_REQUIRES(mutex_);
  // In memory, from the index, or new.
  Result<SeriesRef> Load(const SeriesKey& key);
  std::optional<SeriesEntry> EntryOf(const SeriesKey& key) const;
  void EditLocked(const SeriesRef& series) TCIAFS_REQUIRES(mutex_);
  void ChangeLocked(const SeriesRef& series) TCIAFS_REQUIRES(mutex_);
  void DropIfIdleLocked(const SeriesRef& series) TCIAFS_REQUIRES(mutex_);
  void TouchLocked(const SeriesRef& series) TCIAFS_REQUIRES(mutex_);
  std::shared_ptr<StoredInstance> LiveLocked(const SeriesState& series,
                                             const source::SopUid& sop) const
      TCIAFS_REQUIRES(mutex_);
  void CommitUsesIfDue();

  Result<std::shared_ptr<StoredInstance>> OpenStored(const SeriesRef& series,
                                                     const source::SopUid& sop, uint64_t changes);
  Status CheckFile(const SeriesState& series, const source::SopUid& sop,
                   const std::stop_token& stop) const;
  // kNotFound if there is nothing (any more) to withdraw.
  Status RemoveInstance(const Removal& removal);
  void NoteIndexError(const Error& error) const;
  IndexChanges TakePending(std::map<SeriesRef, uint64_t>& taken) const;
  Status CommitOnce();

  static Status CheckIds(const SeriesPlan& plan);
  Status SetPinned(const SeriesPlan& plan, bool pinned);
  Status CheckFits(const SeriesPlan& plan) const;
  // Evicts until so many bytes can be promised (and promises them), or until bytes promised long
  // ago can be written without going below the floor.
  enum class Room { kReserve, kWrite };
  Status MakeRoom(int64_t bytes, Room room);
  Status Reserve(int64_t bytes) { return MakeRoom(bytes, Room::kReserve); }
  // Least recently used first, enough of them or none; marked as wiping.
  std::vector<SeriesRef> PickVictimsLocked(int64_t lacking_bytes) TCIAFS_REQUIRES(mutex_);
  int64_t InUseBytesLocked() const TCIAFS_REQUIRES(mutex_);
  void MarkWipingLocked(SeriesState& series) TCIAFS_REQUIRES(mutex_);
  void UnmarkWipingLocked(SeriesState& series) TCIAFS_REQUIRES(mutex_);
  // Removes the bytes of a series the caller has marked as wiping. If it fails the series has no
  // instances any more all the same; what is left of its files stays charged, so that it can be
  // tried again.
  Status Wipe(const SeriesRef& series, Remember remember);
  Status WipeAll(const std::vector<SeriesRef>& victims);
  struct Leftovers {
    bool none = false;    // all is gone
    bool listed = false;  // otherwise anything may be left
    std::set<std::string> names;
    int64_t bytes = 0;
  };
  Status ForgetInIndex(const SeriesRef& series, bool keep_known);
  Status RemoveFiles(const SeriesId& series, Leftovers& left);
  void SettleChargesLocked(SeriesState& series, int64_t charged_bytes, const Leftovers& left,
                           const std::vector<std::shared_ptr<StoredInstance>>& lives)
      TCIAFS_REQUIRES(mutex_);
  // Forgets the least recently used of the series that are remembered without bytes.
  void PruneRemembered(bool much);
  Result<SeriesRef> Occupy(const SeriesPlan& plan);
  Status DropOtherVersion(const SeriesRef& series, const source::SeriesVersion& version);
  Status ReserveFor(const SeriesPlan& plan, SeriesFetch& fetch);
  void TakeVersion(const SeriesRef& series, const source::SeriesVersion& version);
  // What a series takes on the disk in the end; 0 if its size is unknown.
  static int64_t FinalBytes(const source::SeriesVersion& version);
  int64_t PlannedBytes(const SeriesPlan& plan, const SeriesState& series) const
      TCIAFS_REQUIRES(mutex_);
  Status StartOnDisk(SeriesFetch& fetch);

  const CacheOptions options_;
  const Clock& clock_;
  const Layout layout_;
  const std::unique_ptr<Disk> disk_;
  OwnerLock owner_;
  const std::unique_ptr<Index> index_;

  mutable Mutex mutex_;
  CondVar settled_;  // a wipe, a withdrawal or a pruning has ended
  std::map<SeriesId, SeriesRef> series_ TCIAFS_GUARDED_BY(mutex_);
  std::set<SeriesRef> edited_ TCIAFS_GUARDED_BY(mutex_);  // since the last commit
  uint64_t drops_ TCIAFS_GUARDED_BY(mutex_) = 0;          // of series from memory
  std::set<SeriesId> pruning_ TCIAFS_GUARDED_BY(mutex_);  // being forgotten by the index
  int64_t known_ TCIAFS_GUARDED_BY(mutex_) = 0;           // instance records in the index
  int64_t evictions_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int wipes_ TCIAFS_GUARDED_BY(mutex_) = 0;               // under way
  mutable bool index_damaged_ TCIAFS_GUARDED_BY(mutex_) = false;
  int64_t last_use_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int64_t commit_due_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  Space space_ TCIAFS_GUARDED_BY(mutex_);
  int64_t unlooked_bytes_ TCIAFS_GUARDED_BY(mutex_) = 0;  // written since a look at the disk
  bool degraded_ TCIAFS_GUARDED_BY(mutex_) = false;
  int64_t disk_retry_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int64_t memory_bytes_ TCIAFS_GUARDED_BY(mutex_) = 0;
  std::list<std::shared_ptr<StoredInstance>> held_ TCIAFS_GUARDED_BY(mutex_);  // oldest first
};

}  // namespace tciafs::cache
