// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Makes the block cache in a directory. Exactly one process owns a cache directory at a time.
#pragma once

#include <memory>
#include <string>

#include "tciafs/cache/block_cache.h"
#include "tciafs/cache/limits.h"
#include "tciafs/util/clock.h"

namespace tciafs::cache {

struct CacheOptions {
  std::string directory;         // created 0700; its content is ours alone
  int64_t cap_bytes = 0;         // required; smaller than kCapBytesMin is refused
  int64_t free_floor_bytes = 0;  // or, if larger, this share of the file system:
  int free_floor_percent = 0;
  int64_t memory_bytes_max = kMemoryBytesMax;  // held in memory when the disk fails
  int64_t instance_bytes_max = kInstanceBytesMax;
  int64_t known_max = kKnownMax;  // instances remembered
  // To look at what is there or to clear it away: nothing is evicted at opening, nor is an index
  // set aside for its size, whatever the cap, which may not be the one the cache was filled under;
  // an older format and a damaged index are refused.
  bool as_it_is = false;
};

inline constexpr int64_t kCapBytesMin = int64_t{16} << 20;
// The first block of an instance is small: what is read where the head alone is wanted. Each of the
// others is what the kernel reads at a time, and begins where it goes on after the head.
inline constexpr int64_t kHeadBlockBytes = kInstanceHeadBytes;
inline constexpr int64_t kBlockBytes = int64_t{128} << 10;
constexpr int64_t BlockAt(int64_t offset) {
  return offset < kHeadBlockBytes ? 0 : 1 + (offset - kHeadBlockBytes) / kBlockBytes;
}
constexpr int64_t BlockBegin(int64_t block) {
  return block == 0 ? 0 : kHeadBlockBytes + (block - 1) * kBlockBytes;
}
constexpr int64_t BlockSize(int64_t block) { return block == 0 ? kHeadBlockBytes : kBlockBytes; }
constexpr int64_t BlockCount(int64_t size_bytes) {
  return size_bytes == 0 ? 0 : BlockAt(size_bytes - 1) + 1;
}
// 1: blocks of other sizes; such a directory is emptied of its images when it is opened.
inline constexpr int kFormatVersion = 2;

// Errors: kBusy (another process owns it; the message names it), kPermission / kNoSpace / kInternal
// (cannot be written), kUnsupported (a newer format, or an older as_it_is), kCorrupt (as_it_is),
// kInvalidArgument (cap too small, or what is there is no cache, and stays as it is). A damaged
// index is set aside and the cache starts empty.
Result<std::unique_ptr<BlockCache>> OpenDiskCache(const CacheOptions& options, const Clock& clock);

// Whether a cache is there, or can be made without touching what is somebody else's.
Status CheckCacheDirectory(const std::string& directory);

}  // namespace tciafs::cache
