// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Looks through what a user has downloaded with other tools: which DICOM files there are, in
// directories and zips, and of which series each is, judged by their heads alone; names mean
// nothing, but that of an md5hashes.csv, whose sums are taken along. Nothing is written, and
// nothing extracted. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tciafs/dicom/identity.h"
#include "tciafs/util/result.h"
#include "tciafs/zip/zip_archive.h"

namespace tciafs::cli {

// Where an instance is: a file, or an entry of a zip.
struct FoundInstance {
  std::string path;
  int64_t entry = -1;
  int64_t size_bytes = 0;
  std::string md5_hex;  // as its md5hashes.csv says, or ""
};

struct FoundSeries {
  std::string study;
  std::string patient;
  std::set<std::string> collections;               // that it may be of
  std::map<std::string, FoundInstance> instances;  // by SOPInstanceUID, the first of each
  int64_t size_bytes() const;
};

struct FoundFiles {
  std::map<std::string, FoundSeries> series;  // by UID
  int64_t dicom_files = 0;
  int64_t other_files = 0;  // that are no DICOM
  int64_t repeated = 0;     // instances that came more than once
  // "PATH: reason": what could not be looked into.
  std::vector<Error> failures;
};

class ImportScan {
 public:
  // `keep_on` is asked before each file; the scan ends early when it says no.
  explicit ImportScan(std::function<bool()> keep_on) : keep_on_(std::move(keep_on)) {}

  void Add(const std::string& path);  // a zip, a directory or a DICOM file
  // Of no file: what a file or entry of that size, with that head, is taken for.
  void AddHead(ByteView head, FoundInstance instance);
  FoundFiles Take() { return std::move(found_); }

 private:
  using Sums = std::unordered_map<std::string, std::string>;
  void AddDirectory(const std::string& path);
  void AddFile(const std::string& path, const Sums& sums);
  void AddZip(const std::string& path);
  void NoteFailure(const std::string& path, const Error& error);

  const std::function<bool()> keep_on_;
  std::set<std::string> hints_;  // names of directories on the way
  FoundFiles found_;
};

// The bytes of an instance, in pieces, until `take` fails. kCorrupt: there are more or fewer than
// when it was found, or a zip's sum does not fit. Keeps the last zip open.
class InstanceBytes {
 public:
  Status Read(const FoundInstance& instance, const std::function<Status(ByteView)>& take);

 private:
  std::string zip_path_;
  std::unique_ptr<zip::ZipFile> zip_;
};

}  // namespace tciafs::cli
