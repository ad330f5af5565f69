// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Where things are in a cache directory (man/tciafs-cache.5). Immutable, so thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "cache/index_records.h"

namespace tciafs::cache {

class Layout {
 public:
  explicit Layout(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string format_file() const { return root_ + "/FORMAT"; }
  std::string lock_file() const { return root_ + "/lock"; }
  std::string index_directory() const { return root_ + "/index"; }
  std::string series_root() const { return root_ + "/series"; }
  // series/<first two hex digits>
  std::string SeriesShelf(const SeriesId& series) const;
  std::string SeriesDirectory(const SeriesId& series) const;

 private:
  std::string root_;
};

// What FORMAT begins with, before the version.
inline constexpr std::string_view kFormatName = "tciafs-cache ";
// Behind the name of an index that was set aside.
inline constexpr char kAsideSuffix[] = ".damaged";

// Names within a series directory. A UID names its file; anything else is hashed, so that no id can
// name a path.
std::string InstanceFileName(const source::SopUid& sop);
inline constexpr char kJournalName[] = "journal";

// The other way round, for a directory's name; empty if it is none.
SeriesId SeriesIdOfName(std::string_view directory_name);

// Whether things of such names are the cache's: what has others is somebody else's, and stays.
bool IsShelfName(std::string_view name);                                // below series_root()
bool IsSeriesName(std::string_view shelf_name, std::string_view name);  // on a shelf
bool IsSeriesFileName(std::string_view name);                           // of a series

}  // namespace tciafs::cache
