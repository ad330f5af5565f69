// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The staging half of DirectoryWrite: rows of a bulk answer wait here until the answer has come
// whole. They are put down in runs as they come, each sorted by directory and behind the one
// before, so that every page is written once and full; they are taken out by merging the runs,
// directory by directory in key order, for the sake of the pages they go to.
#include <algorithm>
#include <optional>
#include <utility>

#include "catalog/directory_store.h"
#include "catalog/encoding.h"

namespace tciafs::catalog {
namespace {

std::string RunPrefix(std::string_view prefix, uint32_t run) {
  std::string of_run(prefix);
  for (int shift = 24; shift >= 0; shift -= 8) of_run += static_cast<char>(run >> shift & 0xff);
  return of_run;
}

std::string StagingKey(std::string_view run_prefix, const DirectoryKey& directory,
                       std::string_view name) {
  std::string key(run_prefix);
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

// Puts what a later run has of a directory to what earlier ones had.
void MergeRows(DirectoryRows from, DirectoryRows& into) {
  into.path = std::move(from.path);
  for (auto& [name, row] : from.rows) {
    const auto [place, is_new] = into.rows.try_emplace(name, row);
    if (is_new) continue;
    if (into.path.level != Level::kStudy) {
      // Patients and studies are as new as their newest series, in whichever run that came.
      const auto known = DecodeRow(place->second);
      const auto head = DecodeRow(row);
      if (known && head && known->modified_s >= head->modified_s) continue;
    }
    place->second = std::move(row);
  }
}

// The first directories of one run.
struct RunHead {
  std::vector<std::pair<DirectoryKey, DirectoryRows>> directories;
  std::optional<DirectoryKey> next;  // the one behind them; nullopt: there is none
};

// As many whole directories as hold `rows_max` rows.
Result<RunHead> ReadRun(const store::ReadTxn& txn, store::Table staging, std::string_view prefix,
                        const ObjectPath& collection, size_t rows_max) {
  RunHead head;
  bool readable = false;  // the directory the rows belong to
  size_t rows = 0;
  const size_t name_at = prefix.size() + kDirectoryKeyBytes;
  TCIAFS_TRY(txn.Scan(staging, prefix, [&](std::string_view key, std::string_view value) {
    if (key.size() < name_at) return true;
    const std::string_view name = key.substr(name_at);
    if (!name.empty()) {
      if (readable) head.directories.back().second.rows.emplace(name, value);
      ++rows;
      return true;
    }
    DirectoryKey directory;
    key.copy(directory.bytes.data(), kDirectoryKeyBytes, prefix.size());
    if (rows >= rows_max) {
      head.next = directory;
      return false;
    }
    auto path = DecodeDirectory(value, collection);
    readable = path.has_value();
    if (readable) head.directories.push_back({directory, {std::move(*path), {}}});
    return true;
  }));
  return head;
}

}  // namespace

Status DirectoryWrite::Stage(std::string_view prefix, uint32_t run, const RowTree& tree) {
  const store::Table staging = table(CatalogTable::kStaging);
  const std::string of_run = RunPrefix(prefix, run);
  TCIAFS_TRY(PutSharedTexts(tree.shared_texts()));
  for (const auto& [key, directory] : tree.directories()) {
    TCIAFS_TRY(txn_.Append(staging, StagingKey(of_run, key, {}), EncodeDirectory(directory.path)));
    for (const auto& [name, row] : directory.rows)
      TCIAFS_TRY(txn_.Append(staging, StagingKey(of_run, key, name), row));
  }
  return {};
}

Result<StagedDirectories> DirectoryWrite::Unstage(std::string_view prefix, uint32_t runs,
                                                  const ObjectPath& collection, size_t rows_max) {
  const store::Table staging = table(CatalogTable::kStaging);
  const size_t rows_of_run = std::max<size_t>(rows_max / std::max(runs, 1U), 1);
  std::vector<RunHead> heads;
  std::optional<DirectoryKey> end;  // directories from here on are not complete in `heads`
  for (uint32_t run = 0; run < runs; ++run) {
    TCIAFS_ASSIGN(RunHead head,
                  ReadRun(txn_, staging, RunPrefix(prefix, run), collection, rows_of_run));
    if (head.next && (!end || *head.next < *end)) end = head.next;
    heads.push_back(std::move(head));
  }
  StagedDirectories taken;
  for (uint32_t run = 0; run < runs; ++run) {
    for (auto& [key, directory] : heads[run].directories) {
      if (end && !(key < *end)) break;
      TCIAFS_TRY(txn_.DeletePrefix(staging, StagingKey(RunPrefix(prefix, run), key, {})));
      MergeRows(std::move(directory), taken[key]);
    }
  }
  return taken;
}

Status DirectoryWrite::DropStaged(std::string_view prefix) {
  TCIAFS_TRY(txn_.DeletePrefix(table(CatalogTable::kStaging), prefix));
  return {};
}

}  // namespace tciafs::catalog
