// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/directory_tally.h"

#include <fmt/core.h>

namespace tciafs::zip {
namespace {

tl::unexpected<Error> Misplaced(const char* record) {
  return Fail(Errc::kCorrupt, fmt::format("zip: misplaced {}", record));
}

Status CheckEqual(const char* what, uint64_t said, uint64_t seen) {
  if (said == seen) return {};
  return Fail(Errc::kCorrupt,
              fmt::format("zip: its end record says {} {}, but it is {}", what, said, seen));
}

// A number of the older end record: exact, or modulo its width (older writers let it wrap), or
// saturated in favour of the zip64 end record.
Status CheckNarrow(const char* what, uint64_t said, uint64_t seen, uint64_t saturated,
                   bool has_zip64) {
  if (has_zip64 && said == saturated) return {};
  return CheckEqual(what, said, seen & saturated);
}

}  // namespace

Status DirectoryTally::OnLocalHeader(uint64_t entries_max) {
  if (section_ != Section::kEntries) return Misplaced("entry after the central directory");
  if (entries_ >= entries_max)
    return Fail(Errc::kCorrupt, fmt::format("zip: more than {} entries", entries_max));
  ++entries_;
  return {};
}

Status DirectoryTally::OnArchiveExtra() const {
  if (section_ != Section::kEntries) return Misplaced("archive extra data record");
  return {};
}

Status DirectoryTally::OnCentralHeader(uint64_t offset) {
  if (section_ == Section::kEntries) {
    section_ = Section::kDirectory;
    directory_begin_ = offset;
  }
  if (section_ != Section::kDirectory) return Misplaced("central directory header");
  if (++headers_ > entries_)
    return Fail(Errc::kCorrupt,
                fmt::format("zip: only {} entries came, its directory lists more", entries_));
  return {};
}

Status DirectoryTally::OnDigitalSignature() const {
  if (section_ != Section::kDirectory) return Misplaced("digital signature");
  return {};
}

Status DirectoryTally::OnZip64End(uint64_t offset, const EndRecord& end) {
  if (section_ > Section::kDirectory) return Misplaced("zip64 end record");
  CloseDirectory(offset);
  section_ = Section::kZip64End;
  zip64_end_offset_ = offset;
  TCIAFS_TRY(CheckOnOneDisk(end));
  TCIAFS_TRY(CheckEqual("the number of entries is", end.entries, entries_));
  TCIAFS_TRY(CheckEqual("the length of its directory is", end.directory_bytes,
                        directory_end_ - directory_begin_));
  return CheckEqual("its directory begins at", end.directory_offset, directory_begin_);
}

Status DirectoryTally::OnZip64Locator(uint64_t zip64_end_offset) {
  if (section_ != Section::kZip64End) return Misplaced("zip64 end locator");
  section_ = Section::kZip64Locator;
  return CheckEqual("its zip64 end record begins at", zip64_end_offset, zip64_end_offset_);
}

Status DirectoryTally::OnEnd(uint64_t offset, const EndRecord& end) {
  const bool has_zip64 = section_ == Section::kZip64Locator;
  if (section_ > Section::kDirectory && !has_zip64) return Misplaced("end record");
  if (!has_zip64) CloseDirectory(offset);
  section_ = Section::kEnd;
  if (!has_zip64) TCIAFS_TRY(CheckOnOneDisk(end));
  TCIAFS_TRY(CheckEqual("the number of entries is", headers_, entries_));
  TCIAFS_TRY(
      CheckNarrow("the number of entries is", end.entries, entries_, kSaturated16, has_zip64));
  TCIAFS_TRY(CheckNarrow("the length of its directory is", end.directory_bytes,
                         directory_end_ - directory_begin_, kSaturated32, has_zip64));
  return CheckNarrow("its directory begins at", end.directory_offset, directory_begin_,
                     kSaturated32, has_zip64);
}

void DirectoryTally::CloseDirectory(uint64_t offset) {
  if (section_ == Section::kEntries) directory_begin_ = offset;  // it is empty
  directory_end_ = offset;
}

Status DirectoryTally::CheckOnOneDisk(const EndRecord& end) const {
  if (end.disks_before == 0 && end.directory_disk == 0) return {};
  return Fail(Errc::kCorrupt, "zip: one part of a zip of several parts");
}

}  // namespace tciafs::zip
