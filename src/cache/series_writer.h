// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Writing a series. SeriesFetch is what its SeriesWriter and the InstanceWriters of it share: the
// reservation, the journal, whether it goes to the disk. It ends (reservation returned, changes
// committed, journal removed) when the last of them is gone. An InstanceWriter whose disk fails
// under it goes on in memory.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/disk_block_cache.h"
#include "cache/journal.h"

namespace tciafs::cache {

// Thread-safe.
class SeriesFetch {
 public:
  SeriesFetch(DiskBlockCache& owner, SeriesRef of) : cache(owner), series(std::move(of)) {}
  ~SeriesFetch();
  SeriesFetch(const SeriesFetch&) = delete;
  SeriesFetch& operator=(const SeriesFetch&) = delete;

  // The series' directory is there: files can be written.
  void StartJournal(Journal journal);
  bool on_disk() const { return on_disk_; }
  std::string NextTemporaryPath();
  std::string InstancePath(const source::SopUid& sop) const;
  // Journals the instance whose file is in place and makes it visible.
  // Takes the descriptor only if it succeeds.
  Result<std::shared_ptr<StoredInstance>> Publish(const source::SopUid& sop, UniqueFd& fd,
                                                  const InstanceEntry& entry, bool was_known);
  // From now on the series is not as it was fetched: a part is in memory only.
  void NoteInMemory() { all_on_disk_ = false; }
  bool all_on_disk() const { return all_on_disk_; }
  // Commits and, if that covers all that was journaled, empties the journal.
  Status Settle();

  DiskBlockCache& cache;
  const SeriesRef series;
  int64_t reserved_bytes = 0;  // guarded by the cache's mutex

 private:
  std::atomic<bool> on_disk_ = false;
  std::atomic<bool> all_on_disk_ = true;
  std::atomic<int> temporaries_ = 0;
  Mutex mutex_;
  std::optional<Journal> journal_ TCIAFS_GUARDED_BY(mutex_);
  int64_t journal_bytes_ TCIAFS_GUARDED_BY(mutex_) = 0;  // claimed
  int unsettled_ TCIAFS_GUARDED_BY(mutex_) = 0;          // records since it was emptied
};

class DiskSeriesWriter final : public SeriesWriter {
 public:
  explicit DiskSeriesWriter(std::shared_ptr<SeriesFetch> fetch) : fetch_(std::move(fetch)) {}
  Result<std::unique_ptr<InstanceWriter>> BeginInstance(const source::SopUid& sop) override;
  Status Withdraw(const source::SopUid& sop) override;
  Status MarkVerified() override;

 private:
  const std::shared_ptr<SeriesFetch> fetch_;
};

class DiskInstanceWriter final : public InstanceWriter {
 public:
  DiskInstanceWriter(std::shared_ptr<SeriesFetch> fetch, source::SopUid sop, bool was_known);
  ~DiskInstanceWriter() override;
  Status Start();
  Status Append(ByteView bytes) override;
  Result<std::shared_ptr<InstanceFile>> Publish(const std::string& md5_hex) override;

 private:
  Status TakeBlocks(ByteView bytes);
  Status WriteBlock(ByteView block);
  Status WriteBlockToDisk(ByteView block);
  Status MoveToMemory();
  Status CopyBlocksTo(int memory_fd);
  Result<std::shared_ptr<StoredInstance>> PublishOnDisk(const InstanceEntry& entry);
  void Discard();

  const std::shared_ptr<SeriesFetch> fetch_;
  const source::SopUid sop_;
  const bool was_known_;
  bool in_memory_ = false;
  bool published_ = false;
  std::optional<Error> failure_;  // of Append
  std::string path_;              // on disk
  UniqueFd fd_;
  std::vector<std::byte> block_;  // one that came in pieces, until it is full
  std::vector<uint64_t> checksums_;
  int64_t written_bytes_ = 0;
  int64_t claimed_bytes_ = 0;  // of the disk
};

// The instance is there already: takes the bytes for granted and gives what is there.
class KeptInstanceWriter final : public InstanceWriter {
 public:
  KeptInstanceWriter(std::shared_ptr<SeriesFetch> fetch, source::SopUid sop)
      : fetch_(std::move(fetch)), sop_(std::move(sop)) {}
  Status Append(ByteView /*bytes*/) override { return {}; }
  Result<std::shared_ptr<InstanceFile>> Publish(const std::string& md5_hex) override;

 private:
  const std::shared_ptr<SeriesFetch> fetch_;
  const source::SopUid sop_;
};

}  // namespace tciafs::cache
