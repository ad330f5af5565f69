// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The CRC-32 of zip (APPNOTE.TXT 4.4.7; polynomial 0xEDB88320 reflected), by ISA-L where it was
// compiled in, else by zlib. Pure function.
#pragma once

#include <cstdint>

#include "tciafs/util/bytes.h"

namespace tciafs::zip {

// The CRC of what `crc` covers followed by `bytes`; begin with 0.
uint32_t Crc32(uint32_t crc, ByteView bytes);

}  // namespace tciafs::zip
