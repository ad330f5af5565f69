// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The inner loop of MD5 (RFC 1321) over several messages side by side. Each step of one message
// waits for the step before, so a core has room for others beside it: with vector instructions
// eight messages take little longer than one. Pure functions, thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tciafs::md5 {

inline constexpr size_t kBlockBytes = 64;
inline constexpr size_t kLanes = 8;

// The four words of each message's state: state[word][lane].
using LaneStates = std::array<std::array<uint32_t, kLanes>, 4>;
// Where each lane's next blocks begin.
using LaneBlocks = std::array<const std::byte*, kLanes>;

inline constexpr std::array<uint32_t, 4> kFirstState = {0x67452301, 0xefcdab89, 0x98badcfe,
                                                        0x10325476};

// Takes `count` blocks of every lane. Lanes that are not in use must point to readable bytes too.
using Compress = void (*)(LaneStates& states, const LaneBlocks& blocks, size_t count);

// The fastest that this processor runs.
Compress FastestCompress();
// All that it runs, for tests.
struct NamedCompress {
  std::string_view name;
  Compress compress;
};
std::vector<NamedCompress> AllCompress();

// Takes blocks of lane 0 alone, for less than a lane of many costs.
void CompressOne(LaneStates& states, const LaneBlocks& blocks, size_t count);

}  // namespace tciafs::md5
