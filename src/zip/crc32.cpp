// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/crc32.h"

#ifdef TCIAFS_HAVE_ISAL
#include <isa-l/crc.h>
#else
#include <zlib.h>
#endif

namespace tciafs::zip {

uint32_t Crc32(uint32_t crc, ByteView bytes) {
  if (bytes.empty()) return crc;
  const auto* first = reinterpret_cast<const unsigned char*>(bytes.data());
#ifdef TCIAFS_HAVE_ISAL
  return crc32_gzip_refl(crc, first, bytes.size());
#else
  return static_cast<uint32_t>(crc32_z(crc, first, bytes.size()));
#endif
}

}  // namespace tciafs::zip
