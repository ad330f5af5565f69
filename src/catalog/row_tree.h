// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Archive answers as the directories they fill: series rows imply their study and patient. Records
// that belong to another collection or patient than asked for (servers compare without case, or
// ignore filters) and ids that cannot be file names are left out; each such id is logged once.
// Not thread-safe but for the OddIds they share.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/directory_key.h"
#include "catalog/row.h"
#include "tciafs/source/records.h"
#include "tciafs/util/mutex.h"

namespace tciafs::catalog {

using Rows = std::map<std::string, std::string>;  // encoded name → row, as they sort in the store

struct DirectoryRows {
  ObjectPath path;
  Rows rows;
};

// Remembers which ids it has complained of. Thread-safe.
class OddIds {
 public:
  // True if the id can be a name: not empty, and short enough when encoded.
  bool Accept(std::string_view id, std::string_view name, const ObjectPath& directory);

 private:
  Mutex mutex_;
  std::set<uint64_t> logged_ TCIAFS_GUARDED_BY(mutex_);
};

// Of one server.
class RowTree {
 public:
  RowTree(const DirectoryKey& root, size_t server, OddIds& odd_ids);

  void Add(const source::CollectionRecord& record);
  // False if the record was left out.
  bool Add(const source::PatientRecord& record, const source::CollectionId& collection);
  // `patient` may be empty: any.
  bool Add(const source::SeriesRecord& record, const source::CollectionId& collection,
           const source::PatientId& patient);
  void Add(const source::InstanceListing& listing, const ObjectPath& series);

  const std::map<DirectoryKey, DirectoryRows>& directories() const { return directories_; }
  std::map<DirectoryKey, DirectoryRows>& directories() { return directories_; }
  const SharedTexts& shared_texts() const { return shared_texts_; }
  // The rows of one directory, none if nothing was added to it.
  Rows TakeRows(const DirectoryKey& key);
  size_t size_bytes() const { return size_bytes_; }
  void Clear();

 private:
  Rows& RowsOf(const DirectoryKey& key, const ObjectPath& path);
  void PutNewest(Rows& rows, const std::string& name, int64_t modified_s);

  const DirectoryKey root_;
  const size_t server_;
  const uint64_t seed_;
  OddIds& odd_ids_;
  std::map<DirectoryKey, DirectoryRows> directories_;
  SharedTexts shared_texts_;
  size_t size_bytes_ = 0;
};

}  // namespace tciafs::catalog
