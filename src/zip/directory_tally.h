// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Compares what a zip's end records say about its central directory with what has passed: number
// of entries and of directory headers, where the directory begins and how long it is. It is what
// tells a zip that is whole from one whose middle is missing, so it is strict. Also keeps the order
// of the records: entries, directory, zip64 end and its locator, end.
//
// Not thread-safe. Offsets are bytes from the zip's begin. Errors: kCorrupt.
#pragma once

#include <cstdint>

#include "tciafs/util/result.h"
#include "zip/zip_records.h"

namespace tciafs::zip {

class DirectoryTally {
 public:
  // To be called at each record, in the order they come.
  Status OnLocalHeader(uint64_t entries_max);
  Status OnArchiveExtra() const;
  Status OnCentralHeader(uint64_t offset);
  Status OnDigitalSignature() const;
  Status OnZip64End(uint64_t offset, const EndRecord& end);
  Status OnZip64Locator(uint64_t zip64_end_offset);
  Status OnEnd(uint64_t offset, const EndRecord& end);

  uint64_t entries() const { return entries_; }

 private:
  enum class Section { kEntries, kDirectory, kZip64End, kZip64Locator, kEnd };

  // The directory is over: it begins and ends where?
  void CloseDirectory(uint64_t offset);
  Status CheckOnOneDisk(const EndRecord& end) const;

  Section section_ = Section::kEntries;
  uint64_t entries_ = 0;
  uint64_t headers_ = 0;
  uint64_t directory_begin_ = 0;
  uint64_t directory_end_ = 0;
  uint64_t zip64_end_offset_ = 0;
};

}  // namespace tciafs::zip
