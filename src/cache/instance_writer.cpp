// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/disk_errors.h"
#include "cache/series_writer.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/hash.h"

namespace tciafs::cache {

DiskInstanceWriter::DiskInstanceWriter(std::shared_ptr<SeriesFetch> fetch, source::SopUid sop,
                                       bool was_known)
    : fetch_(std::move(fetch)), sop_(std::move(sop)), was_known_(was_known) {}

DiskInstanceWriter::~DiskInstanceWriter() {
  Discard();
  fetch_->cache.EndInstance(fetch_->series, sop_);
}

// Gives back what has been written and not published.
void DiskInstanceWriter::Discard() {
  if (!fd_.valid() || published_) return;
  if (in_memory_) {
    fetch_->cache.UnclaimMemory(written_bytes_);
  } else {
    const int64_t bytes = OnDiskBytes(std::exchange(claimed_bytes_, 0));
    if (const Status status = fetch_->cache.disk().Remove(path_); status) {
      CommitStep("cache.instance.discarded");
      fetch_->cache.Unclaim(bytes);
    } else {
      fetch_->cache.NoteDiskFailure(status.error());
      fetch_->cache.NoteLeftover(fetch_->series, bytes);
    }
  }
  fd_.Reset();
}

Status DiskInstanceWriter::Start() {
  if (!fetch_->on_disk() || !fetch_->cache.DiskUsable()) return MoveToMemory();
  path_ = fetch_->NextTemporaryPath();
  auto fd = fetch_->cache.disk().Create(path_);
  if (fd) {
    CommitStep("cache.instance.file_created");
    fd_ = std::move(*fd);
    return {};
  }
  if (!BlamesDisk(fd.error())) return Fail(Errc::kInternal, fd.error().message);
  fetch_->cache.NoteDiskFailure(fd.error());
  return MoveToMemory();
}

// What lacks a part of its bytes is not to be published, so a failure stays.
Status DiskInstanceWriter::Append(ByteView bytes) {
  if (failure_) return Fail(*failure_);
  Status taken = TakeBlocks(bytes);
  if (!taken) failure_ = taken.error();
  return taken;
}

Status DiskInstanceWriter::TakeBlocks(ByteView bytes) {
  if (!fd_.valid()) return Fail(Errc::kInternal, sop_.text() + ": the writer has failed");
  while (!bytes.empty()) {
    const auto block_bytes =
        static_cast<size_t>(BlockSize(static_cast<int64_t>(checksums_.size())));
    const ByteView taken = bytes.first(std::min(bytes.size(), block_bytes - block_.size()));
    bytes = bytes.subspan(taken.size());
    if (taken.size() == block_bytes) {
      TCIAFS_TRY(WriteBlock(taken));
      continue;
    }
    block_.insert(block_.end(), taken.begin(), taken.end());
    if (block_.size() < block_bytes) continue;
    TCIAFS_TRY(WriteBlock(block_));
    block_.clear();
  }
  return {};
}

Status DiskInstanceWriter::WriteBlock(ByteView block) {
  const auto size = static_cast<int64_t>(block.size());
  if (size == 0) return {};
  if (written_bytes_ + size > fetch_->cache.instance_bytes_max())
    return Fail(Errc::kNoSpace, sop_.text() + ": larger than an instance can be");
  if (!in_memory_) TCIAFS_TRY(WriteBlockToDisk(block));
  if (in_memory_) {
    TCIAFS_TRY(fetch_->cache.ClaimMemory(size));
    if (const Status status = WriteFully(fd_.get(), written_bytes_, block); !status) {
      fetch_->cache.UnclaimMemory(size);
      return Fail(Errc::kInternal, status.error().message);
    }
  }
  checksums_.push_back(Xxh3(block));
  written_bytes_ += size;
  return {};
}

// If the disk fails the writer is in memory afterwards, and the block still to be written.
Status DiskInstanceWriter::WriteBlockToDisk(ByteView block) {
  const int64_t end = written_bytes_ + static_cast<int64_t>(block.size());
  const int64_t more = OnDiskBytes(end) - OnDiskBytes(claimed_bytes_);
  if (more > 0) {
    const Status claimed = fetch_->cache.Claim(more, *fetch_);
    if (!claimed && !BlamesDisk(claimed.error()))
      return Fail(Errc::kInternal, claimed.error().message);
    if (!claimed && claimed.error().code != Errc::kNoSpace) {  // what was to be evicted cannot be
      fetch_->cache.NoteDiskFailure(claimed.error());
      return MoveToMemory();
    }
    TCIAFS_TRY(claimed);
    claimed_bytes_ = end;
  }
  const Status status = fetch_->cache.disk().Write(fd_.get(), written_bytes_, block);
  if (status) {
    CommitStep("cache.instance.block_written");
    return {};
  }
  fetch_->cache.NoteDiskFailure(status.error());
  return MoveToMemory();
}

Status DiskInstanceWriter::MoveToMemory() {
  if (const int fault = FaultPoint("cache.memory.create"); fault != 0)
    return Fail(Errc::kInternal, DiskError(fault, "memory file").message);
  UniqueFd memory(::memfd_create("tciafs-instance", MFD_CLOEXEC));
  if (!memory.valid()) return Fail(Errc::kInternal, DiskError(errno, "memory file").message);
  TCIAFS_TRY(fetch_->cache.ClaimMemory(written_bytes_));
  if (const Status status = CopyBlocksTo(memory.get()); !status) {
    fetch_->cache.UnclaimMemory(written_bytes_);
    return Fail(Errc::kInternal, status.error().message);
  }
  Discard();
  fd_ = std::move(memory);
  in_memory_ = true;
  fetch_->NoteInMemory();
  return {};
}

// What a failing disk gives back is believed only if it is what was written.
Status DiskInstanceWriter::CopyBlocksTo(int memory_fd) {
  for (size_t i = 0; i < checksums_.size(); ++i) {
    const auto block = static_cast<int64_t>(i);
    const int64_t offset = BlockBegin(block);
    std::vector<std::byte> bytes(
        static_cast<size_t>(std::min(BlockSize(block), written_bytes_ - offset)));
    TCIAFS_ASSIGN(const size_t got, fetch_->cache.disk().Read(fd_.get(), offset, bytes));
    if (got != bytes.size() || Xxh3(bytes) != checksums_[i])
      return Fail(Errc::kInternal, sop_.text() + ": the disk lost what was written");
    TCIAFS_TRY(WriteFully(memory_fd, offset, bytes));
  }
  return {};
}

Result<std::shared_ptr<InstanceFile>> DiskInstanceWriter::Publish(const std::string& md5_hex) {
  if (!md5_hex.empty() && !IsMd5Hex(md5_hex))
    return Fail(Errc::kInvalidArgument, "not an MD5 sum: " + md5_hex);
  if (failure_) return Fail(*failure_);
  if (!fd_.valid()) return Fail(Errc::kInternal, sop_.text() + ": published already, or failed");
  TCIAFS_TRY(WriteBlock(block_));
  block_.clear();
  const InstanceEntry entry{true, written_bytes_, md5_hex, checksums_};
  if (!in_memory_) {
    auto published = PublishOnDisk(entry);
    if (published || published.error().code == Errc::kNoSpace) return published;
    fetch_->cache.NoteDiskFailure(published.error());
    TCIAFS_TRY(MoveToMemory());
  }
  published_ = true;
  return fetch_->cache.Add(fetch_->series, sop_, std::move(fd_), entry, was_known_,
                           StoredInstance::Backing::kMemory);
}

Result<std::shared_ptr<StoredInstance>> DiskInstanceWriter::PublishOnDisk(
    const InstanceEntry& entry) {
  const std::string path = fetch_->InstancePath(sop_);
  if (path_ != path) TCIAFS_TRY(fetch_->cache.disk().Rename(path_, path));
  CommitStep("cache.instance.renamed");
  path_ = path;  // from here on this is what a failure has to remove
  TCIAFS_ASSIGN(auto published, fetch_->Publish(sop_, fd_, entry, was_known_));
  published_ = true;
  fetch_->cache.NoteDiskWorks();
  return published;
}

}  // namespace tciafs::cache
