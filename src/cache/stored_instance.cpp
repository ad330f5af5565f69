// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/stored_instance.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "cache/block_check.h"
#include "cache/disk_block_cache.h"
#include "tciafs/cache/disk_cache.h"

namespace tciafs::cache {

StoredInstance::StoredInstance(DiskBlockCache& cache, std::shared_ptr<SeriesState> series,
                               source::SopUid sop, UniqueFd fd, InstanceEntry entry,
                               Backing backing, bool intact)
    : cache_(cache),
      series_(std::move(series)),
      sop_(std::move(sop)),
      fd_(std::move(fd)),
      size_bytes_(entry.size_bytes),
      md5_hex_(std::move(entry.md5_hex)),
      backing_(backing),
      checksums_(intact ? std::vector<uint64_t>() : std::move(entry.checksums)),
      intact_(intact || checksums_.empty()),
      checked_(checksums_.size(), false),
      unchecked_(checksums_.size()) {}

StoredInstance::~StoredInstance() { cache_.Closed(*this); }

Result<FileRange> StoredInstance::Read(int64_t offset, int64_t size_bytes) {
  if (offset < 0 || size_bytes < 0) return Fail(Errc::kInvalidArgument, "a negative range");
  const int64_t begin = std::min(offset, size_bytes_);
  const int64_t size = std::min(size_bytes, size_bytes_ - begin);
  if (size > 0) TCIAFS_TRY(CheckFileSize());
  if (size > 0 && !intact_) TCIAFS_TRY(CheckBlocks(begin, begin + size));
  if (revoked_) return Fail(Errc::kCorrupt, sop_.text() + ": withdrawn, its bytes are not intact");
  return FileRange{fd_.get(), begin, size};
}

Result<int> StoredInstance::WholeFile(int64_t unverified_bytes_max) {
  if (in_memory()) return Fail(Errc::kUnsupported, sop_.text() + ": held in memory");
  if (!cache_.InVerifiedSeries(*this))
    return Fail(Errc::kUnsupported, sop_.text() + ": its series is not verified");
  if (UnverifiedBytes() > unverified_bytes_max)
    return Fail(Errc::kUnsupported, sop_.text() + ": much of it is not verified yet");
  TCIAFS_TRY(CheckFileSize());
  if (!intact_) TCIAFS_TRY(CheckBlocks(0, size_bytes_));
  if (revoked_) return Fail(Errc::kCorrupt, sop_.text() + ": withdrawn, its bytes are not intact");
  return fd_.get();
}

int64_t StoredInstance::UnverifiedBytes() {
  if (intact_) return 0;
  MutexLock lock(mutex_);
  return static_cast<int64_t>(unchecked_) * kBlockBytes;
}

// Somebody else may cut the file at any time, also one whose blocks are known to be intact; whoever
// is given the range would then take its end for the end of the instance.
Status StoredInstance::CheckFileSize() {
  if (in_memory() || revoked_) return {};
  const auto size = cache_.disk().Size(fd_.get());
  if (size && *size == size_bytes_) return {};
  if (!size) cache_.NoteDiskFailure(size.error());  // or what is fetched again would fare no better
  Error why{Errc::kCorrupt,
            sop_.text() + ": " + (size ? "its file has another size" : size.error().message)};
  cache_.WithdrawDamaged(*this, why);
  return Fail(std::move(why));
}

Status StoredInstance::CheckBlocks(int64_t begin, int64_t end) {
  const auto first = static_cast<size_t>(BlockAt(begin));
  const auto last = static_cast<size_t>(BlockAt(end - 1));
  for (size_t block = first; block <= last; ++block) {
    {
      MutexLock lock(mutex_);
      if (checked_[block]) continue;
    }
    if (revoked_) return {};  // Read says so
    if (const Status status = CheckBlock(block); !status) {
      if (status.error().code == Errc::kCorrupt) cache_.WithdrawDamaged(*this, status.error());
      return status;
    }
    MutexLock lock(mutex_);
    if (checked_[block]) continue;  // two readers at once
    checked_[block] = true;
    if (--unchecked_ == 0) intact_ = true;
  }
  if (intact_) cache_.NoteIntact(*this);
  return {};
}

Status StoredInstance::CheckBlock(size_t block) {
  const auto number = static_cast<int64_t>(block);
  const auto size = static_cast<size_t>(BlockSize(number));
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(size);
  const auto intact = ReadIntactBlock(cache_.disk(), fd_.get(), number, size_bytes_,
                                      checksums_[block], {buffer.get(), size});
  if (!intact) return Fail(intact.error().Within(sop_.text()));
  return {};
}

}  // namespace tciafs::cache
