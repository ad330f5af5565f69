// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Opening a cache directory on a disk of the caller's choice; OpenDiskCache uses the real one.
#pragma once

#include <memory>

#include "cache/disk.h"
#include "tciafs/cache/disk_cache.h"

namespace tciafs::cache {

Result<std::unique_ptr<BlockCache>> OpenDiskCacheOn(std::unique_ptr<Disk> disk,
                                                    const CacheOptions& options,
                                                    const Clock& clock);

}  // namespace tciafs::cache
