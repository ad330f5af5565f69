// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One cached instance that somebody holds open: its descriptor, shared by all its readers, and
// which of its blocks are known to be intact. Written in this run: all of them; otherwise each is
// checked before its first use. That the file is as long as it was is checked by each read.
// Thread-safe. Borrowed cache; keeps its series from eviction.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "cache/index_records.h"
#include "cache/series_state.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cache {

class DiskBlockCache;

class StoredInstance final : public InstanceFile {
 public:
  enum class Backing { kDisk, kMemory };

  StoredInstance(DiskBlockCache& cache, std::shared_ptr<SeriesState> series, source::SopUid sop,
                 UniqueFd fd, InstanceEntry entry, Backing backing, bool intact);
  ~StoredInstance() override;

  int64_t size_bytes() const override { return size_bytes_; }
  std::string md5_hex() const override { return md5_hex_; }
  Result<FileRange> Read(int64_t offset, int64_t size_bytes) override;
  Result<int> WholeFile(int64_t unverified_bytes_max) override;

  const std::shared_ptr<SeriesState>& series() const { return series_; }
  const source::SopUid& sop() const { return sop_; }
  bool in_memory() const { return backing_ == Backing::kMemory; }
  // The bytes proved bad: reads fail from now on.
  void Revoke() { revoked_ = true; }

  // Disk bytes this object alone still stands for, since its file has been unlinked. Guarded by the
  // cache's mutex.
  int64_t orphaned_bytes = 0;

 private:
  int64_t UnverifiedBytes();
  Status CheckFileSize();
  Status CheckBlocks(int64_t begin, int64_t end);
  Status CheckBlock(size_t block);

  DiskBlockCache& cache_;
  const std::shared_ptr<SeriesState> series_;
  const source::SopUid sop_;
  const UniqueFd fd_;
  const int64_t size_bytes_;
  const std::string md5_hex_;
  const Backing backing_;
  const std::vector<uint64_t> checksums_;
  std::atomic<bool> revoked_ = false;
  std::atomic<bool> intact_;
  Mutex mutex_;
  std::vector<bool> checked_ TCIAFS_GUARDED_BY(mutex_);
  size_t unchecked_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::cache
