// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The index of the cache: what series and instances there are, in LMDB. A record that is not intact
// counts as absent and is logged. Thread-safe; a commit calls back for what to write once it has
// the store to itself, so that of two commits the later one writes the later state. The callback
// may take the caller's lock; no lock may be held around a call.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cache/index_records.h"
#include "tciafs/store/store.h"

namespace tciafs::cache {

struct IndexChanges {
  std::vector<SeriesEntry> series;
  std::vector<SeriesId> series_gone;
  std::vector<std::pair<std::string, InstanceEntry>> instances;  // by InstanceKey
  std::vector<std::string> instances_gone;
};

using InstanceList = std::vector<std::pair<source::SopUid, InstanceEntry>>;

class Index {
 public:
  static Result<std::unique_ptr<Index>> Open(const std::string& directory, int64_t map_bytes_max);

  // kCorrupt if its record is damaged.
  Result<std::optional<SeriesEntry>> Series(const SeriesId& series) const;
  Result<std::optional<InstanceEntry>> Instance(const SeriesId& series,
                                                const source::SopUid& sop) const;
  Result<InstanceList> Instances(const SeriesId& series) const;  // sorted by SOP UID
  // Nothing in place of an entry: its record is damaged.
  using SeriesVisitor = std::function<void(const SeriesId&, std::optional<SeriesEntry>)>;
  Status VisitSeries(const SeriesVisitor& visit) const;

  Status Commit(const std::function<IndexChanges()>& take);
  // The series has no bytes any more: its instances are forgotten or, with keep_known, remembered
  // as absent, in steps, of which the first writes the entry. Forgetting is done as a whole.
  Status Forget(const SeriesId& series, bool keep_known, const std::function<SeriesEntry()>& take);

  Status Sync() { return environment_->Sync(); }
  int64_t file_bytes() const { return environment_->file_bytes(); }
  int64_t used_bytes() const { return environment_->used_bytes(); }

 private:
  explicit Index(std::unique_ptr<store::Environment> environment);

  std::unique_ptr<store::Environment> environment_;
  store::Table series_;
  store::Table instances_;
};

}  // namespace tciafs::cache
