// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the fuzz targets share: how a broken promise ends the process, random decisions that depend
// on the input alone, and a reader that takes an input apart into values. Single-threaded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tciafs/util/bytes.h"
#include "tciafs/util/hash.h"

// What holds for every input. A fuzzer sees a crash; the line tells which promise it was.
#define FUZZ_REQUIRE(condition)                                                           \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace tciafs::fuzz {

inline std::string_view TextOf(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Numbers that are the same whenever the seed is (splitmix64).
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  size_t Below(size_t bound) { return bound == 0 ? 0 : static_cast<size_t>(Next() % bound); }

 private:
  uint64_t state_;
};

inline uint64_t SeedOf(std::string_view input) { return Xxh3(AsBytes(input)); }

// Cuts a body into pieces as a network might: whole, byte by byte, or in pieces of mixed sizes.
inline std::vector<std::string_view> Pieces(std::string_view body, uint64_t seed) {
  std::vector<std::string_view> pieces;
  Dice dice(seed);
  const size_t usual_bytes = size_t{1} << dice.Below(11);
  while (!body.empty()) {
    const size_t size = std::min(body.size(), 1 + dice.Below(2 * usual_bytes));
    pieces.push_back(body.substr(0, size));
    body.remove_prefix(size);
  }
  return pieces;
}
inline std::vector<std::string_view> SinglePieces(std::string_view body) {
  std::vector<std::string_view> pieces;
  for (size_t i = 0; i < body.size(); ++i) pieces.push_back(body.substr(i, 1));
  return pieces;
}

// Takes values off the front of an input; at its end everything is zero or empty.
class Reader {
 public:
  explicit Reader(std::string_view input) : rest_(input) {}
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return byte;
  }
  uint64_t Number(size_t width_bytes = 8) {
    uint64_t value = 0;
    for (size_t i = 0; i < width_bytes; ++i) value |= uint64_t{Byte()} << (8 * i);
    return value;
  }
  bool Bool() { return (Byte() & 1) != 0; }
  // At most `size_max` bytes, a length byte (or two) in front.
  std::string Text(size_t size_max = 255) {
    const size_t wanted = Number(size_max > 255 ? 2 : 1);
    const size_t size = std::min({wanted, size_max, rest_.size()});
    const std::string text(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return text;
  }
  std::string_view Rest() { return std::exchange(rest_, {}); }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace tciafs::fuzz
