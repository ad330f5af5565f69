// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The staging half of DirectoryWrite: rows of a bulk answer wait here, sorted by directory, until
// the answer has come whole, and are then taken out directory by directory in key order, so that
// the pages they go to are written once and full.
#include <utility>

#include "catalog/directory_store.h"
#include "catalog/encoding.h"

namespace tciafs::catalog {
namespace {

std::string StagingKey(std::string_view prefix, const DirectoryKey& directory,
                       std::string_view name) {
  std::string key(prefix);
  key += directory.view();
  key += name;
  return key;
}

std::string EncodeDirectory(const ObjectPath& path) {
  Encoder out;
  out.Byte(static_cast<uint8_t>(path.level));
  out.Text(path.patient.text());
  out.Text(path.study.text());
  return out.Take();
}

std::optional<ObjectPath> DecodeDirectory(std::string_view bytes, const ObjectPath& collection) {
  Decoder in(bytes);
  const uint8_t level = in.Byte();
  std::string patient(in.Text());
  std::string study(in.Text());
  if (!in.AtEnd() || level < static_cast<uint8_t>(Level::kCollection) ||
      level > static_cast<uint8_t>(Level::kStudy))
    return std::nullopt;
  ObjectPath path = collection;
  path.level = static_cast<Level>(level);
  path.patient = source::PatientId(std::move(patient));
  path.study = source::StudyUid(std::move(study));
  return path;
}

}  // namespace

Status DirectoryWrite::Stage(std::string_view prefix, const RowTree& tree) {
  const store::Table staging = table(CatalogTable::kStaging);
  TCIAFS_TRY(PutSharedTexts(tree.shared_texts()));
  for (const auto& [key, directory] : tree.directories()) {
    const std::string head_key = StagingKey(prefix, key, {});
    TCIAFS_ASSIGN(const auto known, txn_.Get(staging, head_key));
    if (!known) TCIAFS_TRY(txn_.Put(staging, head_key, EncodeDirectory(directory.path)));
    for (const auto& [name, row] : directory.rows) {
      const std::string row_key = StagingKey(prefix, key, name);
      if (directory.path.level != Level::kStudy && known) {
        // Patients and studies are as new as their newest series, in whichever batch that came.
        TCIAFS_ASSIGN(const auto staged, txn_.Get(staging, row_key));
        const auto staged_head = staged ? DecodeRow(*staged) : std::nullopt;
        const auto head = DecodeRow(row);
        if (staged_head && head && staged_head->modified_s >= head->modified_s) continue;
      }
      TCIAFS_TRY(txn_.Put(staging, row_key, row));
    }
  }
  return {};
}

Result<std::vector<std::pair<DirectoryKey, DirectoryRows>>> DirectoryWrite::Unstage(
    std::string_view prefix, const ObjectPath& collection, size_t rows_max) {
  std::vector<std::pair<DirectoryKey, DirectoryRows>> directories;
  size_t rows = 0;
  const store::Table staging = table(CatalogTable::kStaging);
  const size_t name_at = prefix.size() + kDirectoryKeyBytes;
  TCIAFS_TRY(txn_.Scan(staging, prefix, [&](std::string_view key, std::string_view value) {
    if (key.size() < name_at) return true;
    const std::string_view name = key.substr(name_at);
    if (!name.empty()) {
      if (!directories.empty()) directories.back().second.rows.emplace(name, value);
      ++rows;
      return true;
    }
    if (rows >= rows_max) return false;
    auto path = DecodeDirectory(value, collection);
    if (!path) return true;
    auto& directory = directories.emplace_back();
    key.copy(directory.first.bytes.data(), kDirectoryKeyBytes, prefix.size());
    directory.second.path = std::move(*path);
    return true;
  }));
  for (const auto& [key, directory] : directories)
    TCIAFS_TRY(txn_.DeletePrefix(staging, StagingKey(prefix, key, {})));
  return directories;
}

Status DirectoryWrite::DropStaged(std::string_view prefix) {
  TCIAFS_TRY(txn_.DeletePrefix(table(CatalogTable::kStaging), prefix));
  return {};
}

}  // namespace tciafs::catalog
