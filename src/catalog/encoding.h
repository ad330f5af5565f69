// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The two halves of the catalog's row encoding: numbers as LEB128 varints (signed ones zigzag),
// texts with their length in front. The decoder checks every length against what is left and, once
// anything was wrong, stays failed and answers zeros. Not thread-safe; the decoder's texts are
// views into its input.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tciafs::catalog {

class Encoder {
 public:
  void Byte(uint8_t value) { bytes_ += static_cast<char>(value); }
  void Unsigned(uint64_t value) {
    for (; value >= 0x80; value >>= 7) Byte(static_cast<uint8_t>(value | 0x80));
    Byte(static_cast<uint8_t>(value));
  }
  void Signed(int64_t value) {
    Unsigned(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
  }
  void Raw(std::string_view bytes) { bytes_ += bytes; }
  void Text(std::string_view text) {
    Unsigned(text.size());
    Raw(text);
  }
  std::string Take() { return std::move(bytes_); }
  size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
};

class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}
  uint8_t Byte() {
    const std::string_view byte = Raw(1);
    return byte.empty() ? uint8_t{0} : static_cast<uint8_t>(byte[0]);
  }
  uint64_t Unsigned() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint8_t byte = Byte();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    failed_ = true;
    return 0;
  }
  int64_t Signed() {
    const uint64_t value = Unsigned();
    return static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
  }
  std::string_view Raw(uint64_t size) {
    if (failed_ || size > rest_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  std::string_view Text() { return Raw(Unsigned()); }
  std::string_view rest() const { return rest_; }
  bool failed() const { return failed_; }
  bool AtEnd() const { return !failed_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace tciafs::catalog
