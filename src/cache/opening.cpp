// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/opening.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "cache/belongings.h"
#include "cache/disk_block_cache.h"
#include "cache/disk_errors.h"
#include "cache/recovery.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::cache {
namespace {

namespace fs = std::filesystem;

// How many processes in a row may die over an index before it is taken for damaged. More than one,
// since a process may be killed at any moment for other reasons.
constexpr int kDeathsMax = 3;
// The map of the index limits its file: a share of the cap, which files of 4 KiB each would need.
constexpr int64_t kIndexShareOfCap = 16;
// An index that was set aside is kept only if it takes no more of the cap.
constexpr int64_t kAsideShareOfCap = 8;
constexpr int64_t kIndexBytesMin = int64_t{8} << 20;
constexpr int64_t kIndexSpareBytes = int64_t{4} << 20;
constexpr int64_t kIndexBytesMax = int64_t{16} << 30;

int64_t IndexMapBytes(const CacheOptions& options) {
  if (options.as_it_is) return kIndexBytesMax;
  const int64_t bytes =
      std::clamp(options.cap_bytes / kIndexShareOfCap, kIndexBytesMin, kIndexBytesMax);
  return bytes >> 20 << 20;
}

// What is wrong with a directory to the caller: it cannot be used.
Error Unusable(Error error) {
  if (error.code == Errc::kNotFound || error.code == Errc::kBusy) error.code = Errc::kInternal;
  return error;
}

Status Check(const std::error_code& code, const std::string& path) {
  if (!code) return {};
  return Fail(Unusable(DiskError(code.value(), path)));
}

// The version the directory is in; 0 if it is new, -1 if the file says nothing sensible.
Result<int> FormatVersion(Disk& disk, const Layout& layout) {
  const auto fd = disk.Open(layout.format_file());
  if (!fd && fd.error().code == Errc::kNotFound)
    return fs::exists(layout.index_directory()) || fs::exists(layout.series_root()) ? -1 : 0;
  if (!fd) return Fail(Unusable(fd.error()));
  std::string content(64, '\0');
  TCIAFS_ASSIGN(const size_t size,
                disk.Read(fd->get(), 0, std::as_writable_bytes(std::span(content))));
  std::string_view text = TrimBlanks(std::string_view(content).substr(0, size));
  int version = -1;
  if (text.substr(0, kFormatName.size()) != kFormatName) return -1;
  text.remove_prefix(kFormatName.size());
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), version);
  return parsed.ec == std::errc() && version > 0 ? version : -1;
}

Status WriteFormat(Disk& disk, const Layout& layout) {
  const std::string temporary = layout.format_file() + ".new";
  const std::string text = std::string(kFormatName) + std::to_string(kFormatVersion) + "\n";
  TCIAFS_ASSIGN(const UniqueFd fd, disk.Create(temporary));
  TCIAFS_TRY(disk.Write(fd.get(), 0, AsBytes(text)));
  CommitStep("cache.format.written");
  TCIAFS_TRY(disk.Rename(temporary, layout.format_file()));
  CommitStep("cache.format.renamed");
  return {};
}

// Without its index the data is nothing: the files go, the index is kept for whoever wants to see.
Status SetAside(Disk& disk, const Layout& layout, std::string_view why) {
  const std::string aside = layout.index_directory() + kAsideSuffix;
  LogWarning("cache {}: the index is unusable ({}); it is set aside as {} and the cache is emptied",
             layout.root(), why, aside);
  std::error_code code;
  fs::remove_all(aside, code);
  TCIAFS_TRY(Check(code, aside));
  CommitStep("cache.set_aside.old_gone");
  if (fs::exists(layout.index_directory(), code)) fs::rename(layout.index_directory(), aside, code);
  TCIAFS_TRY(Check(code, aside));
  CommitStep("cache.set_aside.index_moved");
  const Status removed = RemoveImages(disk, layout);
  CommitStep("cache.set_aside.series_removed");
  return removed;
}

struct Opening {
  std::unique_ptr<Disk> disk;
  const CacheOptions& options;
  const Clock& clock;
  const Layout layout;
  bool emptied = false;  // the index does not know yet that there are no files
};

// The blocks of older formats were cut in other places, so their checksums fit nothing. What users
// decided and what is known without bytes stays. Done again if it does not end: FORMAT is old then.
Status Upgrade(const Opening& opening, int format) {
  const Layout& layout = opening.layout;
  LogWarning(
      "cache {}: written by an older tciafs (format {}, this one writes {}); its images are "
      "removed, to be fetched again, and what is pinned stays pinned",
      layout.root(), format, kFormatVersion);
  TCIAFS_TRY(RemoveImages(*opening.disk, layout));
  CommitStep("cache.upgrade.series_removed");
  return {};
}

int64_t TreeBytes(const std::string& directory) {
  std::error_code code;
  int64_t bytes = 0;
  for (fs::recursive_directory_iterator at(directory, code), end; !code && at != end;
       at.increment(code)) {
    std::error_code ignored;
    const bool file = at->is_regular_file(ignored);
    bytes += file ? OnDiskBytes(static_cast<int64_t>(at->file_size(ignored))) : kDiskUnitBytes;
  }
  return bytes == 0 ? 0 : bytes + kDiskUnitBytes;
}

struct Loaded {
  std::unique_ptr<Index> index;
  std::vector<SeriesEntry> series;
  std::set<SeriesId> recovered;
  int64_t left_bytes = 0;  // of files that belong to nothing and could not be removed
};

// After an owner that did not close: what it had removed may be back.
int64_t Sweep(const Opening& opening, const Loaded& loaded, const std::vector<SeriesId>& damaged) {
  std::set<SeriesId> known(damaged.begin(), damaged.end());
  for (const SeriesEntry& entry : loaded.series)
    if (entry.present > 0 || entry.unsettled) known.insert(SeriesIdOf(entry.key));
  return RemoveStrangers(*opening.disk, opening.layout, known);
}

Result<Loaded> LoadIndex(const Opening& opening, bool died) {
  const Layout& layout = opening.layout;
  Loaded loaded;
  TCIAFS_ASSIGN(loaded.index,
                Index::Open(layout.index_directory(), IndexMapBytes(opening.options)));
  if (opening.emptied) TCIAFS_TRY(ForgetImages(*loaded.index));
  std::vector<SeriesId> damaged;
  TCIAFS_TRY(loaded.index->VisitSeries([&](const SeriesId& id, std::optional<SeriesEntry> entry) {
    if (entry) {
      loaded.series.push_back(std::move(*entry));
    } else {
      damaged.push_back(id);
    }
  }));
  for (const SeriesId& id : damaged) {
    TCIAFS_ASSIGN(const int64_t left_bytes, RemoveSeries(*opening.disk, layout, *loaded.index, id));
    loaded.left_bytes += left_bytes;
  }
  for (SeriesEntry& entry : loaded.series) {
    // A directory that is charged and empty would be swept, and its charge stay for ever.
    if (!entry.unsettled && (entry.present > 0 || entry.disk_bytes == 0)) continue;
    loaded.recovered.insert(SeriesIdOf(entry.key));
    TCIAFS_ASSIGN(entry, RecoverSeries(*opening.disk, layout, *loaded.index, std::move(entry)));
  }
  if (died) loaded.left_bytes += Sweep(opening, loaded, damaged);
  return loaded;
}

// Recovery writes to the index, which may be full.
Result<Loaded> LoadOrMakeRoom(const Opening& opening, bool died) {
  auto loaded = LoadIndex(opening, died);
  if (loaded || loaded.error().code != Errc::kNoSpace) return loaded;
  LogWarning("cache {}: the index is full ({}); series without bytes are forgotten",
             opening.layout.root(), loaded.error().message);
  {
    // Deleting takes pages before it gives any.
    TCIAFS_ASSIGN(const auto index, Index::Open(opening.layout.index_directory(),
                                                IndexMapBytes(opening.options) + kIndexSpareBytes));
    TCIAFS_ASSIGN(const bool made_room, ForgetRemembered(*index));
    if (!made_room) return loaded;
  }
  return LoadIndex(opening, died);
}

// After the cap was lowered: the file never shrinks, and would leave too little for data.
bool TooLarge(const Index& index, const CacheOptions& options) {
  return !options.as_it_is && index.file_bytes() > std::max(options.cap_bytes / 2, kIndexBytesMin);
}

Result<Loaded> LoadOrStartAnew(const Opening& opening, const OwnerLock& owner, int format) {
  std::string why;
  if (format < 0) {
    why = "the file FORMAT is missing or damaged";
  } else if (owner.died_checking() >= kDeathsMax) {
    why = "opening it has ended " + std::to_string(owner.died_checking()) + " processes";
  } else {
    // An index that is not there knows none of the files that may be.
    const bool lost = !fs::exists(opening.layout.index_directory() + "/data.mdb");
    auto loaded = LoadOrMakeRoom(opening, owner.died_running() || lost);
    if (loaded && !TooLarge(*loaded->index, opening.options)) return loaded;
    if (!loaded && loaded.error().code != Errc::kCorrupt && loaded.error().code != Errc::kNoSpace)
      return loaded;
    why = loaded ? "it takes more than half of the cap" : loaded.error().message;
  }
  if (opening.options.as_it_is)
    return Fail(Errc::kCorrupt, opening.layout.root() + ": the index is unusable (" + why +
                                    "); the next mount empties this cache");
  TCIAFS_TRY(SetAside(*opening.disk, opening.layout, why));
  return LoadIndex(opening, /*died=*/false);
}

// The root and what lies in it beside series and index: FORMAT, lock, and the two directories.
int64_t FixedBytes(const Opening& opening) {
  constexpr int64_t kParts = 5;
  const std::string aside = opening.layout.index_directory() + kAsideSuffix;
  if (!opening.options.as_it_is &&
      TreeBytes(aside) > opening.options.cap_bytes / kAsideShareOfCap) {
    std::error_code ignored;
    fs::remove_all(aside, ignored);
  }
  int64_t bytes = kParts * kDiskUnitBytes + TreeBytes(aside);
  if (const auto shelves = opening.disk->List(opening.layout.series_root()))
    bytes += static_cast<int64_t>(shelves->size()) * kDiskUnitBytes;
  return bytes;
}

Result<std::unique_ptr<BlockCache>> Open(Opening opening) {
  const Layout layout = opening.layout;
  std::error_code code;
  const fs::path parent = fs::path(layout.root()).parent_path();
  if (!parent.empty()) fs::create_directories(parent, code);
  TCIAFS_TRY(opening.disk->MakeDirectory(layout.root()));
  CommitStep("cache.open.directory_made");
  TCIAFS_TRY(CheckBelongings(layout));
  TCIAFS_ASSIGN(OwnerLock owner, OwnerLock::Take(layout.lock_file()));
  TCIAFS_ASSIGN(const int format, FormatVersion(*opening.disk, layout));
  if (format > kFormatVersion) {
    return Fail(Errc::kUnsupported, layout.root() + ": written by a newer tciafs (format " +
                                        std::to_string(format) + ", this one knows " +
                                        std::to_string(kFormatVersion) + ")");
  }
  const bool older = format > 0 && format < kFormatVersion;
  if (older && opening.options.as_it_is) {
    return Fail(Errc::kUnsupported,
                layout.root() + ": written by an older tciafs (format " + std::to_string(format) +
                    ", this one writes " + std::to_string(kFormatVersion) +
                    "); the next mount removes its images and keeps what is pinned");
  }
  CommitStep("cache.open.locked");
  TCIAFS_TRY(owner.Write(OwnerLock::Stage::kChecking));
  CommitStep("cache.open.checking");
  TCIAFS_TRY(opening.disk->MakeDirectory(layout.series_root()));
  if (older) TCIAFS_TRY(Upgrade(opening, format));
  opening.emptied = older;
  TCIAFS_ASSIGN(Loaded loaded, LoadOrStartAnew(opening, owner, format));
  if (format != kFormatVersion) TCIAFS_TRY(WriteFormat(*opening.disk, layout));
  CommitStep("cache.open.loaded");
  const int64_t fixed_bytes = FixedBytes(opening);
  TCIAFS_TRY(owner.Write(OwnerLock::Stage::kRunning));
  CommitStep("cache.open.running");
  auto cache =
      std::make_unique<DiskBlockCache>(opening.options, opening.clock, std::move(opening.disk),
                                       std::move(owner), std::move(loaded.index));
  cache->ClaimSpace(fixed_bytes + loaded.left_bytes);
  for (SeriesEntry& entry : loaded.series) {
    const bool recovered = loaded.recovered.count(SeriesIdOf(entry.key)) != 0;
    cache->Adopt(std::move(entry), recovered);
  }
  if (!opening.options.as_it_is) cache->Trim();
  CommitStep("cache.open.trimmed");
  return cache;
}

}  // namespace

Result<std::unique_ptr<BlockCache>> OpenDiskCacheOn(std::unique_ptr<Disk> disk,
                                                    const CacheOptions& options,
                                                    const Clock& clock) {
  if (options.cap_bytes < kCapBytesMin)
    return Fail(Errc::kInvalidArgument, "a cache needs at least " + FormatSize(kCapBytesMin));
  if (options.directory.empty()) return Fail(Errc::kInvalidArgument, "no cache directory");
  auto opened = Open({std::move(disk), options, clock, Layout(options.directory)});
  if (!opened && opened.error().code == Errc::kNotFound) return Fail(Unusable(opened.error()));
  return opened;
}

Status CheckCacheDirectory(const std::string& directory) {
  return CheckBelongings(Layout(directory));
}

Result<std::unique_ptr<BlockCache>> OpenDiskCache(const CacheOptions& options, const Clock& clock) {
  return OpenDiskCacheOn(PosixDisk(), options, clock);
}

}  // namespace tciafs::cache
