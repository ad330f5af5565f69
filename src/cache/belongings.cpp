// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/belongings.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "cache/owner_lock.h"

namespace tciafs::cache {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSealName = "tciafs-seal ";

std::string Beginning(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content(256, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<size_t>(file.gcount()));
  return content;
}

// A file, if there is one, that says nothing: what a crash leaves of one whose content had not
// reached the disk.
bool IsBlank(const std::string& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return false;
  return Beginning(path).find_first_not_of('\0') == std::string::npos;
}

bool SaysItIsACache(const Layout& layout) {
  return Beginning(layout.format_file()).starts_with(kFormatName) ||
         OwnerLock::IsContent(Beginning(layout.lock_file())) ||
         Beginning(layout.index_directory() + "/seal").starts_with(kSealName);
}

enum class Place { kSeriesRoot, kShelf, kSeries };

// The first thing there or below that is none of a cache's; "" if there is none.
std::string StrangerBelow(const fs::path& path, Place place) {
  std::error_code code;
  if (fs::exists(path, code) && !fs::is_directory(path, code)) return path;
  for (fs::directory_iterator at(path, code), end; !code && at != end; at.increment(code)) {
    const std::string name = at->path().filename();
    std::error_code ignored;
    const bool directory = fs::is_directory(at->symlink_status(ignored));
    if (place == Place::kSeries) {
      if (directory || !IsSeriesFileName(name)) return at->path();
      continue;
    }
    const bool shelf = place == Place::kSeriesRoot;
    if (!directory || !(shelf ? IsShelfName(name) : IsSeriesName(path.filename().string(), name)))
      return at->path();
    std::string stranger = StrangerBelow(at->path(), shelf ? Place::kShelf : Place::kSeries);
    if (!stranger.empty()) return stranger;
  }
  return "";
}

std::string Stranger(const Layout& layout) {
  for (const std::string& file : {layout.format_file(), layout.lock_file()})
    if (!IsBlank(file)) return file;
  std::error_code code;
  for (const std::string& directory :
       {layout.index_directory(), layout.index_directory() + kAsideSuffix}) {
    if (fs::exists(directory, code) && !fs::is_directory(directory, code)) return directory;
    // What LMDB wrote is only written once the lock has told whose it is.
    for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code))
      if (!IsBlank(at->path())) return at->path();
  }
  return StrangerBelow(layout.series_root(), Place::kSeriesRoot);
}

Status RemoveSeriesOn(Disk& disk, const std::string& shelf, const std::string& shelf_name) {
  TCIAFS_ASSIGN(const auto directories, disk.List(shelf));
  for (const DiskEntry& directory : directories) {
    if (!directory.is_directory || !IsSeriesName(shelf_name, directory.name)) continue;
    const std::string path = shelf + "/" + directory.name;
    TCIAFS_ASSIGN(const auto files, disk.List(path));
    const auto is_ours = [](const DiskEntry& file) {
      return !file.is_directory && IsSeriesFileName(file.name);
    };
    for (const DiskEntry& file : files)
      if (is_ours(file)) TCIAFS_TRY(disk.Remove(path + "/" + file.name));
    if (std::all_of(files.begin(), files.end(), is_ours)) TCIAFS_TRY(disk.RemoveDirectory(path));
  }
  return {};
}

}  // namespace

Status CheckBelongings(const Layout& layout) {
  if (SaysItIsACache(layout)) return {};
  const std::string stranger = Stranger(layout);
  if (stranger.empty()) return {};
  return Fail(Errc::kInvalidArgument,
              layout.root() + " is no cache of tciafs, and " + stranger + " is in its way");
}

Status RemoveImages(Disk& disk, const Layout& layout) {
  TCIAFS_ASSIGN(const auto shelves, disk.List(layout.series_root()));
  for (const DiskEntry& shelf : shelves) {
    if (!shelf.is_directory || !IsShelfName(shelf.name)) continue;
    const std::string path = layout.series_root() + "/" + shelf.name;
    TCIAFS_TRY(RemoveSeriesOn(disk, path, shelf.name));
    TCIAFS_ASSIGN(const auto left, disk.List(path));
    if (left.empty()) TCIAFS_TRY(disk.RemoveDirectory(path));
  }
  return {};
}

}  // namespace tciafs::cache
