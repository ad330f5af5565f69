// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Opening and closing the cache, and what kills, power cuts and failing disks leave for the next
// opening.
#include <algorithm>
#include <fstream>

#include "cache/opening.h"
#include "model/cache_world.h"
#include "unit/cache/cache_fixture.h"

namespace tciafs::model {

namespace fs = std::filesystem;

void CacheWorld::OpenCache() {
  auto opened = cache::OpenDiskCacheOn(std::make_unique<ModelDisk>(disk_), options_, clock_);
  Expect(opened.has_value(), opened ? "" : "does not open: " + opened.error().message);
  if (opened) cache_ = std::move(*opened);
}

void CacheWorld::CloseAll() {
  held_.clear();
  for (Writing& writing : writings_) writing.parts.clear();
  writings_.clear();
  cache_.reset();
  revoked_.clear();
}

void CacheWorld::Damage(int series, const std::string& sop, int how) {
  ModelInstance& instance = At(series).instances[sop];
  const std::string path = DataFile(series, sop);
  if (instance.lost || !fs::exists(path)) return;
  switch (how % 5) {
    case 0:
    case 1: {
      if (instance.size_bytes == 0 || instance.damaged_block >= 0) return;
      const int64_t offset = how % 2 == 0 ? instance.size_bytes - 1 : instance.size_bytes / 3;
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(offset);
      const char byte = static_cast<char>(file.get() ^ 1 << how % 8);
      file.seekp(offset);
      file.put(byte);
      instance.damaged_block = cache::BlockAt(offset);
      return;
    }
    case 2:
      fs::resize_file(path, static_cast<uintmax_t>(instance.size_bytes + 1));
      break;
    case 3:
      if (instance.size_bytes == 0) return;
      fs::resize_file(path, static_cast<uintmax_t>(instance.size_bytes - 1));
      break;
    default:
      fs::remove(path);
      break;
  }
  instance.lost = true;
}

// What the kernel had not written yet is there in part, or not at all.
void CacheWorld::CutPower() {
  std::mt19937 random(crash_seed_);
  for (const std::string& path : disk_.unflushed_copied) {
    const std::string copied = disk_.copy() + path.substr(disk_.directory.size());
    if (copied.find("/series/") == std::string::npos || !fs::exists(copied)) continue;
    const auto size = fs::file_size(copied);
    switch (random() % 4) {
      case 0:
        break;
      case 1:
        fs::resize_file(copied, random() % (size + 1));
        break;
      case 2:  // as long, but of zeros from somewhere on
        fs::resize_file(copied, random() % (size + 1));
        fs::resize_file(copied, size);
        break;
      default:
        fs::remove(copied);
    }
  }
}

void CacheWorld::AfterCrash(const ModelState& before) {
  const ModelState after = state_;
  CloseAll();
  if (power_cut_) CutPower();
  disk_.copied = false;
  disk_.steps_before_copy = -1;
  StopFaults();
  disk_.free_bytes = int64_t{1} << 40;  // so that nothing has to go at the opening
  fs::remove_all(disk_.directory);
  fs::rename(disk_.copy(), disk_.directory);
  disk_.unflushed = disk_.unflushed_copied;
  OpenCache();
  if (!failure_.empty()) return;
  for (int series = 0; series < kSeries; ++series)
    Resync(series, before[static_cast<size_t>(series)], after[static_cast<size_t>(series)],
           /*room_was_made=*/false);
  suspect_ = false;
  older_.clear();
  effects_ = {};
  CheckSpace();
  CheckFiles();
  power_cut_ = false;
  if (read_after_crash_) ReadAll();
}

// Everything that is here, through handles of its own.
void CacheWorld::ReadAll() {
  for (int series = 0; series < kSeries && failure_.empty(); ++series) {
    std::vector<std::string> cached;
    for (const auto& [sop, instance] : At(series).instances)
      if (instance.cached) cached.push_back(sop);
    for (const std::string& sop : cached) {
      Held held;
      if (!OpenSop(series, sop, held)) continue;
      held_.push_back(std::move(held));
      CheckRead(held_.back(), 0, held_.back().file->size_bytes());
      held_.pop_back();
    }
  }
}

bool CacheWorld::MustSurvive(int series, const std::string& sop, const ModelSeries& before,
                             const ModelSeries& after) const {
  const auto b = before.instances.find(sop);
  const auto a = after.instances.find(sop);
  if (before.version != after.version || b == before.instances.end() ||
      a == after.instances.end() || !b->second.cached || !a->second.cached ||
      b->second.incarnation != a->second.incarnation || b->second.lost || b->second.doubtful ||
      !b->second.firm)
    return false;
  if (!power_cut_) return true;
  const std::string path = DataFile(series, sop);
  const std::string journal = fs::path(path).parent_path().string() + "/journal";
  return disk_.unflushed_copied.count(path) == 0 && disk_.unflushed_copied.count(journal) == 0;
}

// The cache is as before the operation that died, or as after it, or in between; or as it was when
// something could not be dropped.
void CacheWorld::Resync(int series, const ModelSeries& before, const ModelSeries& after,
                        bool room_was_made) {
  const std::string name = "after a crash or a failing disk, series " + std::to_string(series);
  const cache::SeriesKey key = KeyOf(series);
  ModelSeries now;
  now.version = after.version;
  std::vector<const ModelSeries*> candidates = {&after};
  const std::vector<ModelSeries>& older = older_[series];
  for (auto at = older.rbegin(); at != older.rend(); ++at) candidates.push_back(&*at);
  candidates.push_back(&before);
  std::vector<cache::KnownInstance> known;
  for (const ModelSeries* candidate : candidates) {
    if (candidate->version < 0 || !known.empty()) continue;
    known = cache_->Known(key, VersionOf(series, candidate->version, false));
    if (!known.empty()) now.version = candidate->version;
  }
  for (const auto& instance : known) {
    const std::string sop = instance.sop.text();
    ModelInstance found;
    bool explained = false;
    for (const ModelSeries* candidate : candidates) {
      const auto at = candidate->instances.find(sop);
      if (explained || candidate->version != now.version || at == candidate->instances.end())
        continue;
      if (at->second.size_bytes != instance.size_bytes || at->second.md5_hex != instance.md5_hex)
        continue;
      explained = at->second.cached || !instance.cached;
      if (explained) found = at->second;
    }
    Expect(explained, name + " has " + sop + ", which was not there");
    found.cached = instance.cached;
    found.firm = true;
    found.doubtful = found.doubtful || suspect_ || power_cut_;
    if (power_cut_) found.lost = false;  // a file one byte too long may have been cut to its size
    now.instances[sop] = found;
  }
  const bool evicted = room_was_made && !after.pinned && !now.Cached();
  for (const auto& [sop, instance] : before.instances) {
    const auto at = now.instances.find(sop);
    const bool cached = at != now.instances.end() && at->second.cached;
    Expect(cached || evicted || !older.empty() || !MustSurvive(series, sop, before, after),
           name + " has lost " + sop + ", which was published");
  }
  for (const ModelSeries* candidate : candidates) {  // where nothing is known it may be in any
    now.perhaps_announced.insert(candidate->perhaps_announced.begin(),
                                 candidate->perhaps_announced.end());
    if (candidate->announced) now.perhaps_announced.insert(candidate->version);
  }
  now.pinned = after.pinned;
  Expect(cache_->Pin(key, now.pinned).has_value(), name + " cannot be pinned");
  now.verified = now.version >= 0 && cache_->Verified(key, VersionOf(series, now.version, false));
  Expect(!now.verified || std::any_of(candidates.begin(), candidates.end(),
                                      [](const auto* candidate) { return candidate->verified; }),
         name + " has become verified");
  At(series) = now;
}

// What was written while the disk failed may have been in memory only, what could not be removed
// then may be back, in the version it had, and the opening evicts where cap or floor ask for it.
void CacheWorld::Reopen() {
  CloseAll();
  StopFaults();
  OpenCache();
  effects_.may_evict = true;  // the cap may be lower
  if (failure_.empty() && suspect_) {
    const ModelState after = state_;
    const bool room_was_made = OpeningMadeRoom();
    for (int series = 0; series < kSeries; ++series)
      Resync(series, after[static_cast<size_t>(series)], after[static_cast<size_t>(series)],
             room_was_made);
  }
  suspect_ = false;
  older_.clear();
  opened_ = true;
}

void CacheWorld::StopFaults() {
  disk_.faults.creates_fail = disk_.faults.writes_fail = disk_.faults.renames_fail = false;
  disk_.faults.directories_fail = disk_.faults.removes_fail = false;
}

void CacheWorld::ReopenDamaged(const Op& op) {
  CloseAll();
  std::vector<std::pair<int, std::string>> cached;
  for (int series = 0; series < kSeries; ++series)
    for (const auto& [sop, instance] : At(series).instances)
      if (instance.cached && instance.firm) cached.emplace_back(series, sop);
  const bool died = disk_.copied;  // while closing: what follows never happened
  for (int i = 0; i < 1 + op.c % 3 && !cached.empty() && !died; ++i) {
    const auto& [series, sop] = cached[static_cast<size_t>(op.a * 7 + i * 13) % cached.size()];
    Damage(series, sop, op.b + i);
  }
  Reopen();
}

}  // namespace tciafs::model
