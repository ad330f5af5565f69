// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The cache compared with its model.
#include <algorithm>
#include <map>
#include <utility>

#include "cache/layout.h"
#include "model/cache_world.h"
#include "unit/cache/cache_fixture.h"

namespace tciafs::model {
namespace {

// As in cache/space.h and man/tciafs-cache.5: kept free for the index.
int64_t HeadroomBytes(int64_t cap_bytes) { return (int64_t{1} << 20) + cap_bytes / 256; }
// Journals and the like that an operation takes and gives back.
constexpr int64_t kPassingBytes = 128 << 10;

std::string Name(int series) { return "series " + std::to_string(series); }

}  // namespace

void CacheWorld::Expect(bool holds, const std::string& what) {
  if (!holds && failure_.empty()) failure_ = what;
}

bool CacheWorld::HasWriter(int series) const {
  return std::any_of(writings_.begin(), writings_.end(),
                     [&](const Writing& writing) { return writing.series == series; });
}

bool CacheWorld::IsLive(const Held& held, const ModelState& state) const {
  const ModelSeries& series = state[static_cast<size_t>(held.series)];
  const auto instance = series.instances.find(held.sop);
  return series.version == held.version && instance != series.instances.end() &&
         instance->second.cached && instance->second.incarnation == held.incarnation;
}

bool CacheWorld::Evictable(int series, const ModelState& state) const {
  const ModelSeries& of = state[static_cast<size_t>(series)];
  if (!of.Cached() || of.pinned || HasWriter(series)) return false;
  return std::none_of(held_.begin(), held_.end(), [&](const Held& held) {
    return held.series == series && IsLive(held, state);
  });
}

int64_t CacheWorld::OrphanedBytes() const {
  std::set<const cache::InstanceFile*> counted;
  int64_t bytes = 0;
  for (const Held& held : held_)
    if (!IsLive(held, state_) && counted.insert(held.file.get()).second)
      bytes += cache::OnDiskBytes(held.file->size_bytes());
  return bytes;
}

// What the operation under way has evicted is still in the model.
bool CacheWorld::IsEvicted(int series) const {
  const auto known = cache_->Known(KeyOf(series), VersionOf(series, At(series).version, false));
  return std::none_of(known.begin(), known.end(),
                      [](const cache::KnownInstance& instance) { return instance.cached; });
}

bool CacheWorld::SpaceIsLacking(int64_t wanted_bytes) const {
  int64_t evictable_bytes = 0;
  for (int series = 0; series < kSeries; ++series)
    if (Evictable(series, state_) && !IsEvicted(series)) evictable_bytes += At(series).DiskBytes();
  const cache::Usage usage = cache_->usage();
  const int64_t room = HeadroomBytes(options_.cap_bytes) + usage.reserved_bytes + wanted_bytes;
  return usage.used_bytes + room - evictable_bytes > usage.cap_bytes ||
         usage.free_floor_bytes + room > usage.disk_free_bytes + evictable_bytes;
}

// Whether all that was here could not have stayed.
bool CacheWorld::OpeningMadeRoom() const {
  int64_t evicted_bytes = 0;
  for (int series = 0; series < kSeries; ++series)
    if (!At(series).pinned && IsEvicted(series)) evicted_bytes += At(series).DiskBytes();
  const cache::Usage usage = cache_->usage();
  const int64_t room = HeadroomBytes(options_.cap_bytes) + evicted_bytes + kPassingBytes;
  return evicted_bytes > 0 && (usage.used_bytes + room > usage.cap_bytes ||
                               usage.free_floor_bytes + room > usage.disk_free_bytes);
}

void CacheWorld::Compare(const ModelState& before) {
  std::vector<int> victims;
  for (int series = 0; series < kSeries; ++series) CompareSeries(series, before, victims);
  if (!suspect_) CheckVictims(victims, before);
  CheckSpace();
  if (std::exchange(opened_, false)) CheckFiles();
}

void CacheWorld::CompareSeries(int series, const ModelState& before, std::vector<int>& victims) {
  ModelSeries& model = At(series);
  const cache::SeriesKey key = KeyOf(series);
  for (int version = 0; version < kVersions; ++version) {
    if (version == model.version) continue;
    Expect(cache_->Known(key, VersionOf(series, version, false)).empty(),
           Name(series) + " tells instances of another version");
    Expect(!cache_->Verified(key, VersionOf(series, version, false)),
           Name(series) + " is verified in another version");
  }
  if (model.version < 0) return;
  const auto version = VersionOf(series, model.version, false);
  const auto known = cache_->Known(key, version);
  Expect(std::is_sorted(known.begin(), known.end(),
                        [](const auto& a, const auto& b) { return a.sop < b.sop; }),
         Name(series) + ": what is known is not sorted");
  std::map<std::string, cache::KnownInstance> actual;
  for (const auto& instance : known) {
    actual[instance.sop.text()] = instance;
    Expect(model.instances.count(instance.sop.text()) != 0,
           Name(series) + " knows " + instance.sop.text() + ", which was never published");
  }
  size_t gone = 0;
  const int64_t present = model.present();
  int64_t noticed = 0;
  for (auto& [sop, instance] : model.instances) {
    const std::string name = Name(series) + ", instance " + sop;
    const auto found = actual.find(sop);
    const bool is_known = found != actual.end();
    const bool is_cached = is_known && found->second.cached;
    if (!suspect_) Expect(is_known, name + ": what was known of it is forgotten");
    if (is_known) {
      Expect(found->second.size_bytes == instance.size_bytes, name + " has another size");
      Expect(found->second.md5_hex == instance.md5_hex, name + " has another MD5 sum");
      const auto alone = cache_->Known(key, version, source::SopUid(sop));
      Expect(alone && alone->cached == is_cached && alone->size_bytes == instance.size_bytes,
             name + " is told otherwise when asked for alone");
    }
    Expect(!is_cached || instance.cached, name + " is back");
    if (is_cached == instance.cached) continue;
    instance.cached = false;
    if (instance.lost || instance.doubtful) {
      ++noticed;
      model.verified = false;
    } else {
      ++gone;
    }
  }
  if (gone > 0) {
    Expect(suspect_ || static_cast<int64_t>(gone) == present - noticed,
           Name(series) + " lost a part of its instances");
    Expect(suspect_ || Evictable(series, before), Name(series) + " was evicted, pinned or in use");
    Expect(effects_.may_evict, Name(series) + " was evicted by what needs no space");
    victims.push_back(series);
    model.verified = false;
  }
  const bool verified = cache_->Verified(key, version);
  Expect(!verified || model.verified, Name(series) + " is verified");
  Expect(suspect_ || verified || !model.verified, Name(series) + " is not verified any more");
}

void CacheWorld::CheckVictims(const std::vector<int>& victims, const ModelState& before) {
  if (victims.empty()) return;
  const auto used = [&](int series) { return before[static_cast<size_t>(series)].last_use; };
  int newest = victims.front();
  for (const int victim : victims) {
    if (used(victim) > used(newest)) newest = victim;
    for (int kept = 0; kept < kSeries; ++kept)
      Expect(
          !Evictable(kept, before) || !Evictable(kept, state_) || At(kept).last_use >= used(victim),
          Name(victim) + " was evicted, and " + Name(kept) + ", used less recently, was not");
  }
  if (!effects_.exact) return;
  const cache::Usage usage = cache_->usage();
  int64_t bytes = 0;  // of the last one; where nobody knows which that was, of the largest
  for (const int victim : victims)
    if (used(victim) == used(newest))
      bytes = std::max(bytes, before[static_cast<size_t>(victim)].DiskBytes());
  const int64_t room =
      HeadroomBytes(options_.cap_bytes) + usage.reserved_bytes + bytes + kPassingBytes;
  Expect(usage.used_bytes + room > usage.cap_bytes ||
             usage.free_floor_bytes + room > usage.disk_free_bytes,
         Name(newest) + " was evicted without need");
}

void CacheWorld::CheckSpace() {
  const cache::Usage usage = cache_->usage();
  int64_t fixed_bytes = 0;  // what cannot be evicted, however low the cap was set
  for (int series = 0; series < kSeries; ++series)
    if (!Evictable(series, state_)) fixed_bytes += At(series).DiskBytes();
  Expect(usage.used_bytes + usage.reserved_bytes <= usage.cap_bytes ||
             fixed_bytes + (int64_t{2} << 20) > usage.cap_bytes,
         "the cap of " + std::to_string(usage.cap_bytes) + " is exceeded: used " +
             std::to_string(usage.used_bytes) + ", reserved " +
             std::to_string(usage.reserved_bytes));
  if (writings_.empty()) Expect(usage.reserved_bytes == 0, "a reservation outlives its fetch");
  if (suspect_) return;
  const int64_t measured = cache::MeasuredBytes(options_.directory) + OrphanedBytes();
  int64_t doubtful = 0;  // their files may be gone, shorter or longer
  for (const ModelSeries& series : state_)
    for (const auto& [sop, instance] : series.instances)
      doubtful += instance.cached && (instance.lost || instance.doubtful) ? 1 : 0;
  Expect(doubtful > 0 ? usage.used_bytes + doubtful * cache::kDiskUnitBytes >= measured
                      : usage.used_bytes == measured,
         "says it uses " + std::to_string(usage.used_bytes) + ", in fact it is " +
             std::to_string(measured));
}

// Every file belongs to an instance that is there, and every instance has its file.
void CacheWorld::CheckFiles() {
  namespace fs = std::filesystem;
  std::set<std::string> expected;
  for (int series = 0; series < kSeries; ++series)
    for (const auto& [sop, instance] : At(series).instances)
      if (instance.cached) expected.insert(DataFile(series, sop));
  for (const auto& entry : fs::recursive_directory_iterator(options_.directory + "/series")) {
    if (entry.is_directory()) continue;
    Expect(expected.erase(entry.path().string()) != 0,
           "a file of nobody: " + entry.path().string());
  }
  for (const std::string& missing : expected) {
    bool is_lost = false;
    for (int series = 0; series < kSeries; ++series)
      for (const auto& [sop, instance] : At(series).instances)
        is_lost =
            is_lost || ((instance.lost || instance.doubtful) && DataFile(series, sop) == missing);
    Expect(is_lost, "no file for what is said to be here: " + missing);
  }
}

std::string CacheWorld::DataFile(int series, const std::string& sop) const {
  return cache::Layout(options_.directory).SeriesDirectory(cache::SeriesIdOf(KeyOf(series))) + "/" +
         cache::InstanceFileName(source::SopUid(sop));
}

}  // namespace tciafs::model
