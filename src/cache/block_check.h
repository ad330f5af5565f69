// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Whether a block of an instance's file is what was written. Pure but for reading the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/disk.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::cache {

// The bytes of the block, read into the buffer, which has room for it. kCorrupt, "block N ...",
// where they cannot be read or are others: what matters is that they are fetched again.
Result<ByteView> ReadIntactBlock(Disk& disk, int fd, int64_t block, int64_t instance_bytes,
                                 uint64_t checksum, std::span<std::byte> buffer);

}  // namespace tciafs::cache
