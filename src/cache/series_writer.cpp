// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/series_writer.h"

#include <utility>

#include "tciafs/util/fault_point.h"

namespace tciafs::cache {
namespace {

// Instances published before the index is committed; the journal stands in for them until then.
constexpr int kUnsettledMax = 128;

}  // namespace

SeriesFetch::~SeriesFetch() {
  bool settled = false;
  if (on_disk_) {
    if (!cache.NothingPending(*series)) (void)Settle();
    settled = cache.NothingPending(*series);
    MutexLock lock(mutex_);
    if (settled) settled = journal_->Remove().has_value();
    CommitStep("cache.fetch.journal_removed");
    if (settled) {
      cache.Unclaim(journal_bytes_);
    } else {
      cache.NoteLeftover(series, journal_bytes_);
    }
  }
  cache.EndFetch(*this, settled);
}

void SeriesFetch::StartJournal(Journal journal) {
  MutexLock lock(mutex_);
  journal_ = std::move(journal);
  on_disk_ = true;
}

std::string SeriesFetch::NextTemporaryPath() {
  return cache.layout().SeriesDirectory(series->id) + "/" + std::to_string(++temporaries_) +
         ".part";
}

std::string SeriesFetch::InstancePath(const source::SopUid& sop) const {
  return cache.layout().SeriesDirectory(series->id) + "/" + InstanceFileName(sop);
}

Result<std::shared_ptr<StoredInstance>> SeriesFetch::Publish(const source::SopUid& sop,
                                                             UniqueFd& fd,
                                                             const InstanceEntry& entry,
                                                             bool was_known) {
  const std::string record = Journal::Record(series->id, sop, entry);
  std::shared_ptr<StoredInstance> published;
  bool settle = false;
  {
    MutexLock lock(mutex_);
    const int64_t journal_bytes =
        OnDiskBytes(journal_->size_bytes() + static_cast<int64_t>(record.size()));
    if (journal_bytes > journal_bytes_) {
      TCIAFS_TRY(cache.Claim(journal_bytes - journal_bytes_, *this));
      journal_bytes_ = journal_bytes;
    }
    const int64_t growth_bytes = cache.DirectoryGrowthBytes(*series);
    if (growth_bytes > 0) TCIAFS_TRY(cache.Claim(growth_bytes, *this));
    if (Status status = journal_->Append(record); !status) {
      cache.Unclaim(growth_bytes);
      // Also a full disk is one that fails, here as where blocks are written: memory takes over.
      return Fail(Errc::kInternal, std::move(status).error().message);
    }
    CommitStep("cache.instance.journaled");
    published = cache.Add(series, sop, std::move(fd), entry, was_known,
                          StoredInstance::Backing::kDisk, growth_bytes);
    settle = ++unsettled_ >= kUnsettledMax;
  }
  if (settle) (void)Settle();  // the journal keeps what could not be committed
  return published;
}

Status SeriesFetch::Settle() {
  TCIAFS_TRY(cache.Commit());
  MutexLock lock(mutex_);
  if (!journal_ || !cache.NothingPending(*series)) return {};
  unsettled_ = 0;
  TCIAFS_TRY(journal_->Clear());
  CommitStep("cache.fetch.journal_cleared");
  cache.Unclaim(std::exchange(journal_bytes_, 0));
  return {};
}

Result<std::unique_ptr<InstanceWriter>> DiskSeriesWriter::BeginInstance(const source::SopUid& sop) {
  if (sop.empty() || sop.text().size() > kUidBytesMax)
    return Fail(Errc::kInvalidArgument, "a SOP instance UID that is empty or too long");
  TCIAFS_ASSIGN(const auto finding, fetch_->cache.BeginInstance(fetch_->series, sop));
  if (finding == DiskBlockCache::Finding::kPresent)
    return std::make_unique<KeptInstanceWriter>(fetch_, sop);
  auto writer =
      std::make_unique<DiskInstanceWriter>(fetch_, sop, finding == DiskBlockCache::Finding::kKnown);
  TCIAFS_TRY(writer->Start());
  return writer;
}

Status DiskSeriesWriter::Withdraw(const source::SopUid& sop) {
  TCIAFS_TRY(fetch_->cache.Withdraw(fetch_->series, sop));
  return fetch_->Settle();
}

Status DiskSeriesWriter::MarkVerified() {
  if (fetch_->all_on_disk()) fetch_->cache.MarkVerified(fetch_->series);
  (void)fetch_->Settle();  // where the disk fails the series is not kept, which is no fault of its
  return {};
}

Result<std::shared_ptr<InstanceFile>> KeptInstanceWriter::Publish(const std::string&) {
  return fetch_->cache.OpenIn(fetch_->series, sop_);
}

}  // namespace tciafs::cache
