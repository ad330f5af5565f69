// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the cache asks of its disk, as an interface so that tests can make each of it fail.
// Thread-safe. Paths are absolute. Errors are those of cache/disk_errors.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cache {

// Files and directories are charged in units of this, the block size of nearly every disk.
inline constexpr int64_t kDiskUnitBytes = 4096;
inline constexpr int64_t OnDiskBytes(int64_t size_bytes) {
  return (size_bytes + kDiskUnitBytes - 1) / kDiskUnitBytes * kDiskUnitBytes;
}

// What the directory of a series takes that has so many instances. On ext4 with names of 68
// characters: up to 50 entries in one block, then 126 bytes per entry on average (measured) and up
// to 155 where its blocks have just been split.
inline constexpr int64_t DirectoryBytes(int64_t instances) {
  constexpr int64_t kInOneUnit = 32;
  constexpr int64_t kEntryBytes = 160;
  return instances <= kInOneUnit ? kDiskUnitBytes
                                 : OnDiskBytes(kDiskUnitBytes + instances * kEntryBytes);
}

struct DiskSpace {
  int64_t free_bytes = 0;  // for an unprivileged process
  int64_t total_bytes = 0;
};

struct DiskEntry {
  std::string name;
  int64_t size_bytes = 0;
  bool is_directory = false;
};

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<UniqueFd> Create(const std::string& path) = 0;  // empty, for reading and writing
  virtual Result<UniqueFd> Open(const std::string& path) = 0;    // for reading
  virtual Status Write(int fd, int64_t offset, ByteView bytes) = 0;
  // How many bytes there were, fewer than asked for only at the end of the file.
  virtual Result<size_t> Read(int fd, int64_t offset, std::span<std::byte> into) = 0;
  virtual Result<int64_t> Size(int fd) = 0;
  virtual Status Truncate(int fd, int64_t size_bytes) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;               // absent is fine
  virtual Result<bool> MakeDirectory(const std::string& path) = 0;  // false: it was there
  virtual Status RemoveDirectory(const std::string& path) = 0;      // empty; absent is fine
  // Waits until what was removed from it is gone on the disk, too.
  virtual Status SyncDirectory(const std::string& path) = 0;
  virtual Result<std::vector<DiskEntry>> List(const std::string& path) = 0;  // absent: empty
  virtual Result<DiskSpace> Space(const std::string& path) = 0;
};

std::unique_ptr<Disk> PosixDisk();

Status WriteFully(int fd, int64_t offset, ByteView bytes);

}  // namespace tciafs::cache
