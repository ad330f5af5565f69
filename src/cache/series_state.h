// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A series as the running cache holds it: its entry, what of it is not yet in the index, and who is
// using it. Series with bytes, pins, users or uncommitted changes are in memory; of the others only
// the index knows. Everything here is guarded by DiskBlockCache's mutex.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "cache/index_records.h"
#include "tciafs/util/hash.h"

namespace tciafs::cache {

class StoredInstance;

// SOP UIDs of instances known to be intact in this run, as 8 bytes each: they outlive the handles.
class IntactSet {
 public:
  bool Has(const source::SopUid& sop) const {
    return std::binary_search(hashes_.begin(), hashes_.end(), HashOf(sop));
  }
  void Add(const source::SopUid& sop) {
    const uint64_t hash = HashOf(sop);
    const auto at = std::lower_bound(hashes_.begin(), hashes_.end(), hash);
    if (at == hashes_.end() || *at != hash) hashes_.insert(at, hash);
  }
  void Drop(const source::SopUid& sop) {
    const auto at = std::lower_bound(hashes_.begin(), hashes_.end(), HashOf(sop));
    if (at != hashes_.end() && *at == HashOf(sop)) hashes_.erase(at);
  }
  void Clear() { hashes_ = {}; }

 private:
  static uint64_t HashOf(const source::SopUid& sop) { return Xxh3(AsBytes(sop.text())); }
  std::vector<uint64_t> hashes_;  // sorted
};

struct SeriesState {
  struct Pending {
    InstanceEntry entry;
    bool gone = false;     // the record is to be deleted
    uint64_t edition = 0;  // of the series when this was set
  };
  struct Live {
    std::weak_ptr<StoredInstance> instance;
    const StoredInstance* identity = nullptr;  // also while it is being destroyed
  };

  explicit SeriesState(SeriesEntry from) : id(SeriesIdOf(from.key)), entry(std::move(from)) {}

  const SeriesId id;
  SeriesEntry entry;
  std::map<source::SopUid, Pending> pending;  // overrides the index until committed
  std::map<source::SopUid, Live> live;        // instances somebody holds open
  std::set<source::SopUid> withdrawing;       // their files are being removed
  std::set<source::SopUid> writing;           // have an InstanceWriter
  IntactSet intact;
  bool has_writer = false;
  bool wiping = false;
  // The index could not be made to forget what this series was: its records are void, and nothing
  // of the series is committed or written to the disk until a wipe has succeeded.
  bool outdated = false;
  bool leftovers = false;  // a file could not be removed: unsettled until a wipe has succeeded
  int opening = 0;         // threads in the midst of Open
  uint64_t changes = 0;    // counts changes of which instances there are
  uint64_t edition = 0;    // counts these and changes of the entry

  bool InUse() const { return has_writer || wiping || opening > 0 || !live.empty(); }
  bool Evictable() const {
    return entry.disk_bytes > 0 && !entry.pinned && !InUse() && withdrawing.empty();
  }
  bool Idle() const {
    return entry.present == 0 && entry.disk_bytes == 0 && !entry.pinned && !InUse() &&
           pending.empty() && withdrawing.empty();
  }
};

}  // namespace tciafs::cache
