// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What people ask of a cache that readers never do: what is there, and whether it is still intact.
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cache/block_check.h"
#include "cache/disk_block_cache.h"
#include "cache/disk_errors.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/log.h"

namespace tciafs::cache {

std::vector<CachedSeries> DiskBlockCache::Cached() const {
  std::vector<CachedSeries> all;
  {
    MutexLock lock(mutex_);
    all.reserve(series_.size());
    for (const auto& [id, series] : series_) {
      const SeriesEntry& entry = series->entry;
      if (entry.present == 0 && !entry.pinned && series->live.empty()) continue;
      all.push_back({entry.key, entry.version, entry.present, entry.disk_bytes, entry.last_use_ms,
                     entry.verified, entry.pinned, series->InUse()});
    }
  }
  std::sort(all.begin(), all.end(), [](const CachedSeries& a, const CachedSeries& b) {
    return a.last_use_unix_ms < b.last_use_unix_ms;
  });
  return all;
}

Status DiskBlockCache::CheckIntact(const SeriesKey& key, const source::SopUid& sop,
                                   const std::stop_token& stop) {
  for (;;) {
    SeriesRef series;
    uint64_t changes = 0;
    {
      MutexLock lock(mutex_);
      series = FindLocked(key);
      if (!series || series->wiping || series->withdrawing.count(sop) != 0)
        return Fail(Errc::kNotFound, sop.text() + ": not in the cache");
      changes = series->changes;
      ++series->opening;  // keeps it from eviction
    }
    Status checked = CheckFile(*series, sop, stop);
    {
      MutexLock lock(mutex_);
      --series->opening;
      DropIfIdleLocked(series);
    }
    if (checked || checked.error().code != Errc::kCorrupt) return checked;
    Removal removal;
    removal.series = series;
    removal.sop = sop;
    removal.only_if_changes = changes;
    if (!RemoveInstance(removal)) continue;  // what was bad may be gone, and another in its place
    LogWarning("cache: {}; it will be fetched again", checked.error().message);
    return checked;
  }
}

// By itself, not through the handle that readers share: theirs takes for intact what was checked.
Status DiskBlockCache::CheckFile(const SeriesState& series, const source::SopUid& sop,
                                 const std::stop_token& stop) const {
  const auto entry = Find(series, sop);
  if (!entry || !entry->present) return Fail(Errc::kNotFound, sop.text() + ": not in the cache");
  const auto corrupt = [&sop](const std::string& what) {
    return Fail(Errc::kCorrupt, sop.text() + ": " + what);
  };
  const auto fd = disk_->Open(layout_.SeriesDirectory(series.id) + "/" + InstanceFileName(sop));
  if (!fd && !BlamesDisk(fd.error())) return Fail(Errc::kBusy, fd.error().message);
  if (!fd) return corrupt(fd.error().message);
  const auto size_bytes = disk_->Size(fd->get());
  if (!size_bytes) return corrupt(size_bytes.error().message);
  if (*size_bytes != entry->size_bytes) return corrupt("its file has another size");
  // What the kernel has of it in memory says nothing of the disk.
  (void)::posix_fadvise(fd->get(), 0, 0, POSIX_FADV_DONTNEED);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(size_t{kBlockBytes});
  Md5 md5;
  for (size_t block = 0; block < entry->checksums.size(); ++block) {
    if (stop.stop_requested()) return Fail(Errc::kCancelled, "interrupted");
    const auto bytes =
        ReadIntactBlock(*disk_, fd->get(), static_cast<int64_t>(block), *size_bytes,
                        entry->checksums[block], {buffer.get(), size_t{kBlockBytes}});
    if (!bytes) return corrupt(bytes.error().message);
    md5.Update(*bytes);
  }
  if (!entry->md5_hex.empty() && md5.FinishHex() != entry->md5_hex)
    return corrupt("its MD5 is another one");
  return {};
}

}  // namespace tciafs::cache
