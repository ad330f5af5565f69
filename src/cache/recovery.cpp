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
    if (!entry.is_directory) files[entry.name] = entry.size_bytes;
  return files;
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

}  // namespace

Result<SeriesEntry> RecoverSeries(Disk& disk, const Layout& layout, Index& index,
                                  SeriesEntry entry) {
  const SeriesId id = SeriesIdOf(entry.key);
  const std::string directory = layout.SeriesDirectory(id);
  TCIAFS_ASSIGN(const auto files, ListFiles(disk, directory));
  TCIAFS_ASSIGN(const auto indexed, index.Instances(id));
  TCIAFS_ASSIGN(auto journaled, Journal::Replay(disk, directory + "/" + kJournalName, id));
  Instances instances(indexed.begin(), indexed.end());
  for (auto& [sop, instance] : journaled) instances[sop] = std::move(instance);
  const auto kept = Match(files, instances, entry);

  TCIAFS_TRY(index.Commit([&] {
    IndexChanges changes;
    changes.series.push_back(entry);
    for (const auto& [sop, instance] : instances)
      changes.instances.emplace_back(InstanceKey(id, sop), instance);
    return changes;
  }));
  CommitStep("cache.recover.committed");
  size_t removed = 0;
  for (const auto& [name, size] : files) {
    if (kept.count(name) != 0) continue;
    TCIAFS_TRY(disk.Remove(directory + "/" + name));
    CommitStep("cache.recover.file_removed");
    ++removed;
  }
  if (kept.empty()) TCIAFS_TRY(disk.RemoveDirectory(directory));
  CommitStep("cache.recover.done");
  LogInfo("cache: series {} was being written: {} instances kept, {} files removed",
          entry.key.series.text(), entry.present, removed);
  return entry;
}

Result<bool> ForgetRemembered(Index& index) {
  constexpr size_t kStep = 32;  // in one transaction: deleting takes pages, too
  std::vector<SeriesId> remembered;
  TCIAFS_TRY(index.VisitSeries([&](const SeriesId& id, const std::optional<SeriesEntry>& entry) {
    if (entry && entry->present == 0 && !entry->pinned && !entry->unsettled)
      remembered.push_back(id);
  }));
  for (size_t next = 0; next < remembered.size(); next += kStep) {
    TCIAFS_TRY(index.Commit([&] {
      IndexChanges changes;
      for (size_t i = next; i < std::min(next + kStep, remembered.size()); ++i)
        changes.series_gone.push_back(remembered[i]);
      return changes;
    }));
  }
  return !remembered.empty();
}

Status RemoveSeries(Disk& disk, const Layout& layout, Index& index, const SeriesId& series) {
  LogWarning("cache index: the record of a series is damaged; the series is removed");
  TCIAFS_TRY(index.Commit([&] {
    IndexChanges changes;
    changes.series_gone.push_back(series);
    return changes;
  }));
  CommitStep("cache.recover.series_forgotten");
  if (series.size() != kSeriesIdBytes) return {};
  const std::string directory = layout.SeriesDirectory(series);
  TCIAFS_ASSIGN(const auto files, ListFiles(disk, directory));
  for (const auto& [name, size] : files) TCIAFS_TRY(disk.Remove(directory + "/" + name));
  return disk.RemoveDirectory(directory);
}

}  // namespace tciafs::cache
