// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/row_tree.h"

#include <algorithm>
#include <utility>

#include "tciafs/catalog/names.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kRowOverheadBytes = 96;  // of a map node, roughly

}  // namespace

bool OddIds::Accept(std::string_view id, std::string_view name, const ObjectPath& directory) {
  if (!id.empty() && name.size() <= kNameBytesMax) return true;
  const std::string where = directory.Text();
  {
    MutexLock lock(mutex_);
    if (logged_.size() >= kOddIdsRemembered) return false;
    if (!logged_.insert(Xxh3(AsBytes(id), Xxh3(AsBytes(where)))).second) return false;
  }
  LogWarning("{}: left out an object whose id cannot be a file name ({} bytes): {}", where,
             id.size(), name.substr(0, 80));
  return false;
}

RowTree::RowTree(const DirectoryKey& root, size_t server, OddIds& odd_ids)
    : root_(root), server_(server), seed_(Xxh3(AsBytes(root.view()))), odd_ids_(odd_ids) {}

Rows& RowTree::RowsOf(const DirectoryKey& key, const ObjectPath& path) {
  const auto [directory, is_new] = directories_.try_emplace(key);
  if (is_new) directory->second.path = path;
  return directory->second.rows;
}

Rows RowTree::TakeRows(const DirectoryKey& key) {
  const auto directory = directories_.find(key);
  return directory == directories_.end() ? Rows() : std::move(directory->second.rows);
}

void RowTree::Clear() {
  directories_.clear();
  shared_texts_.clear();
  size_bytes_ = 0;
}

// A directory above the series is as new as its newest series.
void RowTree::PutNewest(Rows& rows, const std::string& name, int64_t modified_s) {
  const auto [row, is_new] = rows.try_emplace(name);
  if (!is_new) {
    const auto head = DecodeRow(row->second);
    if (head && head->modified_s >= modified_s) return;
  }
  row->second = EncodeRow({.modified_s = modified_s, .size_bytes = -1, .version = {}});
  if (is_new) size_bytes_ += kRowOverheadBytes + name.size() + row->second.size();
}

void RowTree::Add(const source::CollectionRecord& record) {
  ObjectPath root;
  root.server = server_;
  const std::string name = EncodeName(record.collection.text());
  if (odd_ids_.Accept(record.collection.text(), name, root))
    RowsOf(root_, root).try_emplace(name, EncodeRow({}));
}

bool RowTree::Add(const source::PatientRecord& record, const source::CollectionId& collection) {
  if (record.collection != collection) return false;
  const ObjectPath directory = ObjectPath{}.Child(collection.text(), server_);
  const ObjectPath patient = directory.Child(record.patient.text(), server_);
  const std::string name = EncodeName(record.patient.text());
  if (!odd_ids_.Accept(record.patient.text(), name, directory)) return false;
  RowsOf(KeyOf(root_, directory), directory)
      .try_emplace(
          name, EncodeRow({}, EncodeAttributes(record.attributes, patient, seed_, shared_texts_)));
  return true;
}

bool RowTree::Add(const source::SeriesRecord& record, const source::CollectionId& collection,
                  const source::PatientId& patient) {
  if (record.collection != collection) return false;
  if (!patient.empty() && record.patient != patient) return false;
  const ObjectPath collection_path = ObjectPath{}.Child(collection.text(), server_);
  const ObjectPath patient_path = collection_path.Child(record.patient.text(), server_);
  const ObjectPath study_path = patient_path.Child(record.study.text(), server_);
  const ObjectPath series_path = study_path.Child(record.series.text(), server_);
  const std::string patient_name = NameOf(patient_path);
  const std::string study_name = NameOf(study_path);
  const std::string series_name = NameOf(series_path);
  if (!odd_ids_.Accept(record.patient.text(), patient_name, collection_path) ||
      !odd_ids_.Accept(record.study.text(), study_name, patient_path) ||
      !odd_ids_.Accept(record.series.text(), series_name, study_path))
    return false;

  const DirectoryKey collection_key = ChildKey(root_, collection.text());
  const DirectoryKey patient_key = ChildKey(collection_key, record.patient.text());
  const DirectoryKey study_key = ChildKey(patient_key, record.study.text());
  PutNewest(RowsOf(collection_key, collection_path), patient_name, record.modified_s);
  PutNewest(RowsOf(patient_key, patient_path), study_name, record.modified_s);
  const RowHead head{.modified_s = record.modified_s, .size_bytes = -1, .version = record.version};
  std::string row =
      EncodeRow(head, EncodeAttributes(record.attributes, series_path, seed_, shared_texts_));
  size_bytes_ += kRowOverheadBytes + series_name.size() + row.size();
  RowsOf(study_key, study_path).insert_or_assign(series_name, std::move(row));
  return true;
}

void RowTree::Add(const source::InstanceListing& listing, const ObjectPath& series) {
  Rows& rows = RowsOf(KeyOf(root_, series), series);
  for (const auto& instance : listing.instances) {
    std::string name = InstanceName(instance.sop.text());
    if (!odd_ids_.Accept(instance.sop.text(), name, series)) continue;
    const RowHead head{
        .modified_s = 0, .size_bytes = std::max<int64_t>(instance.size_bytes, -1), .version = {}};
    std::string row = EncodeRow(head);
    size_bytes_ += kRowOverheadBytes + name.size() + row.size();
    rows.insert_or_assign(std::move(name), std::move(row));
  }
}

}  // namespace tciafs::catalog
