// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Where things are in a cache directory (man/tciafs-cache.5). Immutable, so thread-safe.
#pragma once

#include <string>

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

// Names within a series directory. A UID names its file; anything else is hashed, so that no id can
// name a path. Files of these names are looked after, all others are swept.
std::string InstanceFileName(const source::SopUid& sop);
inline constexpr char kJournalName[] = "journal";

// The other way round, for a directory's name; empty if it is none.
SeriesId SeriesIdOfName(std::string_view directory_name);

}  // namespace tciafs::cache
