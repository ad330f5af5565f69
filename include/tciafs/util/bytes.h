// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A view of bytes, and its two conversions to text. Views own nothing.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace tciafs {

using ByteView = std::span<const std::byte>;

inline ByteView AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view AsText(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace tciafs
