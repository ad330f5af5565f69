// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What stat says: sizes in the order of trust, permission bits, times, and how long the kernel may
// believe it. Pure functions.
//
// A size is, in this order: exact (it was had once), advertised (by the archive for the instance,
// or for a series of one instance), else an estimate from the series' total, which the kernel must
// not keep. A size of zero or less is no size: no instance is empty, and a file the kernel believes
// to be empty would never be read.
#pragma once

#include <cstdint>
#include <string_view>

#include "tciafs/source/records.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::vfs {

enum class SizeOrigin { kExact, kAdvertised, kEstimated };
std::string_view SizeOriginName(SizeOrigin origin);  // as in user.tcia.size

struct InstanceSize {
  int64_t bytes = 0;
  SizeOrigin origin = SizeOrigin::kEstimated;
  friend bool operator==(const InstanceSize&, const InstanceSize&) = default;
};

// -1 where unknown.
struct SizeFacts {
  int64_t exact_bytes = -1;
  int64_t advertised_bytes = -1;
  int64_t series_bytes = -1;
  int64_t series_instances = -1;
};

// With kFetch an unknown size comes as the estimate it would be: the caller fetches first.
InstanceSize ChooseSize(const SizeFacts& facts, UnknownSize policy);

// For objects whose time the archive does not tell: 2011-01-01, the year the archive opened. Fixed,
// so that it is the same on every mount.
inline constexpr int64_t kUnknownModifiedS = 1'293'840'000;

// `modified_s` 0: unknown. Directories have size 0: they take no space anywhere.
Attributes DirectoryAttributes(const FilesystemOptions& options, uint64_t inode,
                               int64_t modified_s);
Attributes FileAttributes(const FilesystemOptions& options, uint64_t inode, int64_t modified_s,
                          int64_t size_bytes);

int64_t KernelValidity(const FilesystemOptions& options, int64_t fresh_for_ms);

}  // namespace tciafs::vfs
