// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The data descriptor after an entry whose sizes were not known when its header was written. It
// comes in four layouts (with or without signature, sizes of 32 or 64 bits) and nothing in it says
// which. But what it has to hold is known once the data has been read, so each layout is one exact
// string of bytes, and the descriptor is the one that is there.
//
// Two layouts can agree on their first bytes (an empty entry, a CRC that equals the signature). The
// shorter one is then followed by another record, whose first four bytes rule out the longer: so a
// layout is decided on only when no longer one is still possible.
//
// Pure function. Source: APPNOTE.TXT 4.3.9; java.util.zip writes signature and 32 bits, or 64 bits
// without a zip64 field in the header when a size asks for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tciafs/util/bytes.h"

namespace tciafs::zip {

inline constexpr size_t kDescriptorBytesMin = 12;
inline constexpr size_t kDescriptorBytesMax = 24;

struct DescriptorMatch {
  enum class Kind { kNone, kUndecided, kFound };
  Kind kind = Kind::kNone;
  size_t size_bytes = 0;  // if found: of the descriptor; if undecided: how many bytes to see next
};

// `seen`: at least kDescriptorBytesMin of the bytes after the data.
DescriptorMatch MatchDescriptor(ByteView seen, uint32_t crc32, uint64_t compressed_bytes,
                                uint64_t size_bytes);

}  // namespace tciafs::zip
