// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the cache accepts, keeps and remembers at most, with the reason of each. Sizes are bytes.
// Constants only. What the disk may hold is the user's setting (disk_cache.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::cache {

// Longer ids are refused: a DICOM UID has at most 64 characters, and what archives hold beyond the
// standard is not much longer. A scope is the root of an archive and who asks.
inline constexpr size_t kUidBytesMax = 128;
inline constexpr size_t kScopeBytesMax = 1024;
inline constexpr size_t kTimestampBytesMax = 64;
// A UID up to here names its file as it is (PS3.5 section 9); the hash of a longer one does.
inline constexpr size_t kDicomUidBytesMax = 64;

// A checksum list of 8 MiB; far beyond any instance (DICOM elements end at 4 GiB).
inline constexpr int64_t kInstanceBytesMax = int64_t{1} << 40;

// Of one series, for sums: an archive's figures beyond these are nonsense, and would overflow.
inline constexpr int64_t kPlanBytesMax = int64_t{1} << 50;
inline constexpr int64_t kPlanInstancesMax = int64_t{1} << 30;

// A journal is cleared after a bounded number of records; more is damage, and not read into memory.
inline constexpr int64_t kJournalBytesMax = int64_t{256} << 20;

// How many instances are remembered (size and MD5), with bytes or without: about 200 MB of index.
inline constexpr int64_t kKnownMax = 2'000'000;

// Instances held in memory while the disk fails: what a machine can spare for a while, and each
// takes a descriptor.
inline constexpr int64_t kMemoryBytesMax = int64_t{256} << 20;
inline constexpr size_t kHeldMax = 500;

}  // namespace tciafs::cache
