// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/recovery.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "cache/journal.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::cache {
namespace {

using Instances = std::map<source::SopUid, InstanceEntry>;
using FileSizes = std::map<std::string, int64_t>;

Result<FileSizes> ListFiles(Disk& disk, const std::string& directory) {
  TCIAFS_ASSIGN(const auto entries, disk.List(directory));
  FileSizes files;
  for (const DiskEntry& entry : entries)
    if (!entry.is_directory && IsSeriesFileName(entry.name)) files[entry.name] = entry.size_bytes;
  return files;
}

struct Swept {
  size_t removed = 0;
  int64_t left_bytes = 0;  // of files that could not be removed
};

// Removes the files but those that are kept, and the directory if none is. What cannot be removed
// stops nothing.
Swept SweepDirectory(Disk& disk, const std::string& directory, const FileSizes& files,
                     const std::set<std::string>& kept) {
  Swept swept;
  for (const auto& [name, size_bytes] : files) {
    if (kept.count(name) != 0) continue;
    const Status status = disk.Remove(directory + "/" + name);
    if (status) {
      ++swept.removed;
    } else {
      LogError("cache: a file that belongs to nothing cannot be removed: {}",
               status.error().message);
      swept.left_bytes += OnDiskBytes(size_bytes);
    }
    CommitStep("cache.recover.file_removed");
  }
  if (kept.empty() && !disk.RemoveDirectory(directory)) swept.left_bytes += kDiskUnitBytes;
  return swept;
}

// Adds up the entry anew; gives the files that belong to it.
std::set<std::string> Match(const FileSizes& files, Instances& instances, SeriesEntry& entry) {
  std::set<std::string> kept;
  entry.known = static_cast<int64_t>(instances.size());
  entry.present = 0;
  entry.disk_bytes = 0;
  for (auto& [sop, instance] : instances) {
    if (!instance.present) continue;
    const std::string name = InstanceFileName(sop);
    const auto file = files.find(name);
    if (file != files.end() && file->second == instance.size_bytes) {
      kept.insert(name);
      ++entry.present;
      entry.disk_bytes += OnDiskBytes(instance.size_bytes);
    } else {
      instance.present = false;
      instance.checksums.clear();
      entry.verified = false;
    }
  }
  if (entry.present > 0) entry.disk_bytes += DirectoryBytes(entry.present);
  return kept;
}

Status ForgetSeries(Index& index, const std::vector<SeriesId>& series) {
  constexpr size_t kStep = 32;  // in one transaction: deleting takes pages, too
  for (size_t next = 0; next < series.size(); next += kStep) {
    TCIAFS_TRY(index.Commit([&] {
      IndexChanges changes;
      for (size_t i = next; i < std::min(next + kStep, series.size()); ++i)
        changes.series_gone.push_back(series[i]);
      return changes;
    }));
  }
  return {};
}

}  // namespace

Result<SeriesEntry> RecoverSeries(Disk& disk, const Layout& layout, Index& index,
                                  SeriesEntry entry) {
  const SeriesId id = SeriesIdOf(entry.key);
  const std::string directory = layout.SeriesDirectory(id);
  const int64_t charged_bytes = std::max(entry.disk_bytes, kDiskUnitBytes);
  const auto files = ListFiles(disk, directory);
  TCIAFS_ASSIGN(const auto indexed, index.Instances(id));
  const auto journaled = Journal::Replay(disk, directory + "/" + kJournalName, id);
  if (!files || !journaled) {
    LogError("cache: series {} was being written, and the disk does not tell what there is: {}",
             entry.key.series.text(), (files ? journaled.error() : files.error()).message);
  }
  Instances instances(indexed.begin(), indexed.end());
  for (const auto& [sop, instance] : journaled ? *journaled : InstanceList())
    instances[sop] = instance;
  const auto kept = Match(files ? *files : FileSizes(), instances, entry);

  TCIAFS_TRY(index.Commit([&] {
    IndexChanges changes;
    changes.series.push_back(entry);
    for (const auto& [sop, instance] : instances)
      changes.instances.emplace_back(InstanceKey(id, sop), instance);
    return changes;
  }));
  CommitStep("cache.recover.committed");
  Swept swept;
  if (files) swept = SweepDirectory(disk, directory, *files, kept);
  if (!files) swept.left_bytes = charged_bytes;
  CommitStep("cache.recover.done");
  entry.disk_bytes += swept.left_bytes;
  entry.unsettled = swept.left_bytes > 0;
  LogInfo("cache: series {} was being written: {} instances kept, {} files removed",
          entry.key.series.text(), entry.present, swept.removed);
  return entry;
}

Result<bool> ForgetRemembered(Index& index) {
  std::vector<SeriesId> remembered;
  TCIAFS_TRY(index.VisitSeries([&](const SeriesId& id, const std::optional<SeriesEntry>& entry) {
    if (entry && entry->present == 0 && !entry->pinned && !entry->unsettled)
      remembered.push_back(id);
  }));
  TCIAFS_TRY(ForgetSeries(index, remembered));
  return !remembered.empty();
}

Status ForgetImages(Index& index) {
  std::vector<SeriesId> gone;
  std::vector<SeriesEntry> pinned;
  TCIAFS_TRY(index.VisitSeries([&](const SeriesId& id, std::optional<SeriesEntry> entry) {
    if (!entry) {
      gone.push_back(id);
    } else if (entry->present == 0 && entry->disk_bytes == 0 && !entry->unsettled) {
      return;
    } else if (entry->pinned) {
      pinned.push_back(*std::move(entry));
    } else {
      gone.push_back(id);
    }
  }));
  TCIAFS_TRY(ForgetSeries(index, gone));
  for (SeriesEntry& entry : pinned) {
    entry.verified = entry.unsettled = false;
    entry.known = entry.present = entry.disk_bytes = 0;
    TCIAFS_TRY(index.Forget(SeriesIdOf(entry.key), /*keep_known=*/false, [&] { return entry; }));
  }
  CommitStep("cache.upgrade.index_emptied");
  return {};
}

Result<int64_t> RemoveSeries(Disk& disk, const Layout& layout, Index& index,
                             const SeriesId& series) {
  LogWarning("cache index: the record of a series is damaged; the series is removed");
  const std::string directory = layout.SeriesDirectory(series);
  if (series.size() == kSeriesIdBytes) {
    const auto files = ListFiles(disk, directory);
    const int64_t left_bytes =
        files ? SweepDirectory(disk, directory, *files, {}).left_bytes : kDiskUnitBytes;
    if (left_bytes > 0) return left_bytes;  // the next run finds the damaged record again
  }
  CommitStep("cache.recover.series_removed");
  TCIAFS_TRY(index.Commit([&] {
    IndexChanges changes;
    changes.series_gone.push_back(series);
    return changes;
  }));
  return 0;
}

int64_t RemoveStrangers(Disk& disk, const Layout& layout, const std::set<SeriesId>& known) {
  int64_t left_bytes = 0;
  const auto shelves = disk.List(layout.series_root());
  for (const DiskEntry& shelf : shelves ? *shelves : std::vector<DiskEntry>()) {
    if (!IsShelfName(shelf.name)) continue;
    const std::string shelf_path = layout.series_root() + "/" + shelf.name;
    const auto directories = disk.List(shelf_path);
    for (const DiskEntry& directory : directories ? *directories : std::vector<DiskEntry>()) {
      if (!directory.is_directory || !IsSeriesName(shelf.name, directory.name) ||
          known.count(SeriesIdOfName(directory.name)) != 0)
        continue;
      const std::string path = shelf_path + "/" + directory.name;
      const auto files = ListFiles(disk, path);
      LogInfo("cache: {} belongs to no series", path);
      left_bytes += files ? SweepDirectory(disk, path, *files, {}).left_bytes : kDiskUnitBytes;
    }
  }
  return left_bytes;
}

}  // namespace tciafs::cache
