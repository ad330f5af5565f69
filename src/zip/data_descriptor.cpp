// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/data_descriptor.h"

#include <algorithm>
#include <array>

#include "zip/zip_records.h"

namespace tciafs::zip {
namespace {

constexpr size_t kWordBytes = 4;  // layouts differ by words, so a decision is due at each

struct Layout {
  std::array<std::byte, kDescriptorBytesMax> bytes = {};
  size_t size_bytes = 0;

  void Append(uint64_t value, size_t width_bytes) {
    for (size_t i = 0; i < width_bytes; ++i) bytes[size_bytes++] = std::byte(value >> (8 * i));
  }
  bool AgreesWith(ByteView seen) const {
    const size_t common = std::min(seen.size(), size_bytes);
    return std::equal(bytes.begin(), bytes.begin() + common, seen.begin());
  }
};

}  // namespace

DescriptorMatch MatchDescriptor(ByteView seen, uint32_t crc32, uint64_t compressed_bytes,
                                uint64_t size_bytes) {
  size_t longest_found = 0;
  bool longer_possible = false;
  for (const bool has_signature : {false, true}) {
    for (const size_t width_bytes : {size_t{4}, size_t{8}}) {
      Layout layout;
      if (has_signature) layout.Append(kDescriptorSignature, kWordBytes);
      layout.Append(crc32, kWordBytes);
      layout.Append(compressed_bytes, width_bytes);  // 32 bits hold it modulo 2^32
      layout.Append(size_bytes, width_bytes);
      if (!layout.AgreesWith(seen)) continue;
      if (layout.size_bytes <= seen.size())
        longest_found = std::max(longest_found, layout.size_bytes);
      else
        longer_possible = true;
    }
  }
  using Kind = DescriptorMatch::Kind;
  if (longer_possible) return {Kind::kUndecided, seen.size() + kWordBytes};
  if (longest_found > 0) return {Kind::kFound, longest_found};
  return {Kind::kNone, 0};
}

}  // namespace tciafs::zip
