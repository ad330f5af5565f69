// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One loop, written over a word or over a vector of words (a language extension of g++ and clang),
// and compiled for several processors.
#include "util/md5_lanes.h"

#include <bit>
#include <cstring>
#include <utility>

namespace tciafs::md5 {
namespace {

using EightWords __attribute__((vector_size(kLanes * sizeof(uint32_t)))) = uint32_t;

constexpr std::array<uint32_t, 64> kConstants = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr std::array<std::array<int, 4>, 4> kShifts = {
    {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};

constexpr size_t WordOfStep(size_t step) {
  constexpr std::array<size_t, 4> kStrides = {1, 5, 3, 7};
  constexpr std::array<size_t, 4> kOffsets = {0, 1, 5, 0};
  return (kStrides[step / 16] * step + kOffsets[step / 16]) % 16;
}

uint32_t LittleEndian(const std::byte* bytes) {
  uint32_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap32(word);
  return word;
}

// Words are passed by reference only: how a vector is passed by value depends on the processor.
template <size_t kStep, typename Word>
[[gnu::always_inline]] inline void Step(std::array<Word, 4>& state,
                                        const std::array<Word, 16>& block) {
  constexpr size_t kTarget = (4 - kStep % 4) % 4;
  constexpr size_t kRound = kStep / 16;
  constexpr int kShift = kShifts[kRound][kStep % 4];
  Word& a = state[kTarget];
  const Word& b = state[(kTarget + 1) % 4];
  const Word& c = state[(kTarget + 2) % 4];
  const Word& d = state[(kTarget + 3) % 4];
  Word mixed;
  if constexpr (kRound == 0) mixed = d ^ (b & (c ^ d));
  if constexpr (kRound == 1) mixed = c ^ (d & (b ^ c));
  if constexpr (kRound == 2) mixed = b ^ c ^ d;
  if constexpr (kRound == 3) mixed = c ^ (b | ~d);
  const Word sum = a + (block[WordOfStep(kStep)] + kConstants[kStep]) + mixed;
  a = b + ((sum << kShift) | (sum >> (32 - kShift)));
}

template <typename Word, size_t... kSteps>
[[gnu::always_inline]] inline void Steps(std::array<Word, 4>& state,
                                         const std::array<Word, 16>& block,
                                         std::index_sequence<kSteps...>) {
  (Step<kSteps>(state, block), ...);
}

template <typename Word, size_t... kLane>
[[gnu::always_inline]] inline void CompressLanes(LaneStates& states, const LaneBlocks& blocks,
                                                 size_t count, std::index_sequence<kLane...>) {
  std::array<Word, 4> state;
  for (size_t i = 0; i < state.size(); ++i) std::memcpy(&state[i], &states[i], sizeof(Word));
  for (size_t offset = 0; offset < count * kBlockBytes; offset += kBlockBytes) {
    const std::array<Word, 4> before = state;
    std::array<Word, 16> block;
    for (size_t i = 0; i < block.size(); ++i)
      block[i] = Word{LittleEndian(blocks[kLane] + offset + i * sizeof(uint32_t))...};
    Steps(state, block, std::make_index_sequence<64>());
    for (size_t i = 0; i < state.size(); ++i) state[i] += before[i];
  }
  for (size_t i = 0; i < state.size(); ++i) std::memcpy(&states[i], &state[i], sizeof(Word));
}

void CompressPlain(LaneStates& states, const LaneBlocks& blocks, size_t count) {
  CompressLanes<EightWords>(states, blocks, count, std::make_index_sequence<kLanes>());
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) void CompressAvx2(LaneStates& states, const LaneBlocks& blocks,
                                                  size_t count) {
  CompressLanes<EightWords>(states, blocks, count, std::make_index_sequence<kLanes>());
}

__attribute__((target("avx512f,avx512vl"))) void CompressAvx512(LaneStates& states,
                                                                const LaneBlocks& blocks,
                                                                size_t count) {
  CompressLanes<EightWords>(states, blocks, count, std::make_index_sequence<kLanes>());
}
#endif

}  // namespace

std::vector<NamedCompress> AllCompress() {
  std::vector<NamedCompress> all = {{"plain", CompressPlain}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) all.push_back({"avx2", CompressAvx2});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
    all.push_back({"avx512", CompressAvx512});
#endif
  return all;
}

Compress FastestCompress() {
  static const Compress fastest = AllCompress().back().compress;
  return fastest;
}

void CompressOne(LaneStates& states, const LaneBlocks& blocks, size_t count) {
  CompressLanes<uint32_t>(states, blocks, count, std::index_sequence<0>());
}

}  // namespace tciafs::md5
