// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/index.h"

#include "cache/disk_errors.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"

namespace tciafs::cache {
namespace {

// Records rewritten in one transaction: bounds what the copies of their pages add to the file.
constexpr size_t kForgetStep = 2000;

void LogDamagedInstance(std::string_view key) {
  LogWarning("cache index: the record of instance {} is damaged", SopOfKey(key).text());
}

}  // namespace

Index::Index(std::unique_ptr<store::Environment> environment)
    : environment_(std::move(environment)),
      series_(environment_->table(0)),
      instances_(environment_->table(1)) {}

Result<std::unique_ptr<Index>> Index::Open(const std::string& directory, int64_t map_bytes_max) {
  TCIAFS_ASSIGN(auto environment, store::Environment::Open({.directory = directory,
                                                            .tables = {"series", "instances"},
                                                            .map_bytes_max = map_bytes_max}));
  return std::unique_ptr<Index>(new Index(std::move(environment)));
}

Result<std::optional<SeriesEntry>> Index::Series(const SeriesId& series) const {
  TCIAFS_ASSIGN(const auto txn, environment_->Read());
  TCIAFS_ASSIGN(const auto value, txn.Get(series_, series));
  if (!value) return std::nullopt;
  auto entry = DecodeSeries(series, *value);
  if (!entry) return Fail(Errc::kCorrupt, "the record of a series is damaged");
  return entry;
}

Result<std::optional<InstanceEntry>> Index::Instance(const SeriesId& series,
                                                     const source::SopUid& sop) const {
  const std::string key = InstanceKey(series, sop);
  TCIAFS_ASSIGN(const auto txn, environment_->Read());
  TCIAFS_ASSIGN(const auto value, txn.Get(instances_, key));
  if (!value) return std::nullopt;
  auto entry = DecodeInstance(key, *value);
  if (!entry) LogDamagedInstance(key);
  return entry;
}

Result<InstanceList> Index::Instances(const SeriesId& series) const {
  TCIAFS_ASSIGN(const auto txn, environment_->Read());
  InstanceList list;
  TCIAFS_TRY(txn.Scan(instances_, series, [&](std::string_view key, std::string_view value) {
    if (auto entry = DecodeInstance(key, value)) {
      list.emplace_back(SopOfKey(key), std::move(*entry));
    } else {
      LogDamagedInstance(key);
    }
    return true;
  }));
  return list;
}

Status Index::VisitSeries(const SeriesVisitor& visit) const {
  TCIAFS_ASSIGN(const auto txn, environment_->Read());
  return txn.Scan(series_, "", [&](std::string_view key, std::string_view value) {
    visit(SeriesId(key), DecodeSeries(key, value));
    return true;
  });
}

Status Index::Commit(const std::function<IndexChanges()>& take) {
  TCIAFS_ASSIGN(auto txn, environment_->Write());
  const IndexChanges changes = take();
  for (const auto& entry : changes.series)
    TCIAFS_TRY(txn.Put(series_, SeriesIdOf(entry.key), EncodeSeries(entry)));
  for (const auto& id : changes.series_gone) {
    TCIAFS_TRY(txn.Delete(series_, id));
    TCIAFS_TRY(txn.DeletePrefix(instances_, id));
  }
  for (const auto& [key, entry] : changes.instances)
    TCIAFS_TRY(txn.Put(instances_, key, EncodeInstance(key, entry)));
  for (const auto& key : changes.instances_gone) TCIAFS_TRY(txn.Delete(instances_, key));
  if (const int fault = FaultPoint("cache.index.commit"); fault != 0)
    return Fail(DiskError(fault, "index"));
  TCIAFS_TRY(txn.Commit());
  CommitStep("cache.index.committed");
  return {};
}

Status Index::Forget(const SeriesId& series, bool keep_known,
                     const std::function<SeriesEntry()>& take) {
  if (!keep_known) {  // the entry may be of another version already
    TCIAFS_ASSIGN(auto txn, environment_->Write());
    TCIAFS_TRY(txn.Put(series_, series, EncodeSeries(take())));
    TCIAFS_TRY(txn.DeletePrefix(instances_, series));
    TCIAFS_TRY(txn.Commit());
    CommitStep("cache.index.forgotten");
    return {};
  }
  std::string from = series;
  for (bool more = true; more;) {
    TCIAFS_ASSIGN(auto txn, environment_->Write());
    TCIAFS_TRY(txn.Put(series_, series, EncodeSeries(take())));
    std::vector<std::pair<std::string, InstanceEntry>> step;
    std::vector<std::string> gone;
    const auto collect = [&](std::string_view key, std::string_view value) {
      auto entry = DecodeInstance(key, value);
      if (!entry) {
        gone.emplace_back(key);
      } else if (entry->present) {
        entry->present = false;
        entry->checksums.clear();
        step.emplace_back(key, std::move(*entry));
      }
      from = key;
      return step.size() + gone.size() < kForgetStep;
    };
    TCIAFS_TRY(txn.Scan(instances_, series, collect, from));
    for (const auto& [key, entry] : step)
      TCIAFS_TRY(txn.Put(instances_, key, EncodeInstance(key, entry)));
    for (const auto& key : gone) TCIAFS_TRY(txn.Delete(instances_, key));
    TCIAFS_TRY(txn.Commit());
    CommitStep("cache.index.emptied");
    more = step.size() + gone.size() == kForgetStep;
  }
  return {};
}

}  // namespace tciafs::cache
