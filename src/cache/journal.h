// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The journal of one fetch: what has been published since the last commit of the index, so that a
// killed process keeps it without a commit (and a wait for the disk) per instance. Appended to
// without fsync; records carry the checksums of the index, so that a torn one is seen. Used by one
// thread at a time. Errors: those of cache/disk_errors.h.
#pragma once

#include <cstdint>
#include <string>

#include "cache/disk.h"
#include "cache/index.h"
#include "tciafs/cache/limits.h"

namespace tciafs::cache {

class Journal {
 public:
  static Result<Journal> Create(Disk& disk, std::string path, SeriesId series);
  // What an earlier run left, oldest first; ends at the first record that is not intact.
  // A journal of more than `bytes_max` is damage and tells nothing.
  static Result<InstanceList> Replay(Disk& disk, const std::string& path, const SeriesId& series,
                                     int64_t bytes_max = kJournalBytesMax);

  static std::string Record(const SeriesId& series, const source::SopUid& sop,
                            const InstanceEntry& entry);
  Status Append(std::string_view record);
  Status Clear();   // everything in it has been committed
  Status Remove();  // and nothing more will come
  int64_t size_bytes() const { return size_bytes_; }
  const SeriesId& series() const { return series_; }

 private:
  Journal(Disk& disk, std::string path, SeriesId series, UniqueFd fd);

  Disk* disk_;
  std::string path_;
  SeriesId series_;
  UniqueFd fd_;
  int64_t size_bytes_ = 0;
};

}  // namespace tciafs::cache
