// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/block_check.h"

#include <algorithm>
#include <string>

#include "tciafs/cache/disk_cache.h"
#include "tciafs/util/hash.h"

namespace tciafs::cache {

Result<ByteView> ReadIntactBlock(Disk& disk, int fd, int64_t block, int64_t instance_bytes,
                                 uint64_t checksum, std::span<std::byte> buffer) {
  const int64_t offset = BlockBegin(block);
  const auto bytes =
      buffer.first(static_cast<size_t>(std::min(BlockSize(block), instance_bytes - offset)));
  const std::string name = "block " + std::to_string(block);
  const auto got = disk.Read(fd, offset, bytes);
  if (!got) return Fail(Errc::kCorrupt, name + ": " + got.error().message);
  if (*got != bytes.size()) return Fail(Errc::kCorrupt, name + " is cut short");
  if (Xxh3(bytes) != checksum) return Fail(Errc::kCorrupt, name + " is damaged");
  return bytes;
}

}  // namespace tciafs::cache
