// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/inflater.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>

#include "support/zip_writer.h"
#include "zip/crc32.h"

namespace tciafs::zip {
namespace {

using testing::Crc32Of;
using testing::Deflate;

class InflaterTest : public ::testing::TestWithParam<InflaterKind> {};

std::string Noise(size_t size_bytes, uint32_t seed, uint32_t symbols) {
  std::mt19937 random(seed);
  std::string content(size_bytes, '\0');
  for (char& c : content) c = static_cast<char>(random() % symbols);
  return content;
}

// Inflates `stream` followed by `rest`, cut at random; checks that exactly `rest` is handed back.
std::string InflateAndReturnRest(Inflater& inflater, const std::string& stream,
                                 const std::string& rest, std::mt19937& random) {
  EXPECT_TRUE(inflater.Reset());
  const std::string all = stream + rest;
  std::string out;
  std::array<std::byte, 70'000> piece;
  size_t taken = 0;
  size_t pushed = 0;
  for (bool was_full = false;;) {
    if (taken == pushed && !was_full) {
      if (pushed == all.size()) break;
      pushed = std::min(all.size(), pushed + 1 + random() % (100 + all.size() / 16));
    }
    const size_t room = 1 + random() % (random() % 2 == 0 ? piece.size() : 3000);
    const auto step = inflater.Inflate(AsBytes(std::string_view(all).substr(taken, pushed - taken)),
                                       std::span(piece).first(room));
    EXPECT_TRUE(step.has_value());
    if (!step) break;
    taken += step->consumed_bytes;
    was_full = step->produced_bytes == room;
    out += AsText(ByteView(piece).first(step->produced_bytes));
    if (!step->finished) continue;
    const std::string unread(AsText(inflater.Unread()));
    EXPECT_LE(unread.size(), 8u);
    EXPECT_EQ(unread + all.substr(taken), rest.substr(0, unread.size() + all.size() - taken));
    EXPECT_EQ(taken - unread.size(), stream.size());
    return out;
  }
  ADD_FAILURE() << "the stream did not end";
  return out;
}

TEST_P(InflaterTest, GivesTheContentAndHandsBackTheRest) {
  const auto inflater = MakeInflater(GetParam());
  std::mt19937 random(1);
  for (const int level : {0, 1, 6, 9}) {
    for (const size_t size_bytes : {0, 1, 2, 3, 10, 100, 1000, 40'000, 200'000}) {
      for (const uint32_t symbols : {1, 40, 256}) {
        const std::string content = Noise(size_bytes, level, symbols);
        for (const size_t rest_bytes : {0, 1, 7, 50}) {
          const std::string rest = Noise(rest_bytes, 5, 256);
          ASSERT_EQ(InflateAndReturnRest(*inflater, Deflate(content, level), rest, random),
                    content);
        }
      }
    }
  }
}

TEST_P(InflaterTest, StartsAfreshAfterDamage) {
  const auto inflater = MakeInflater(GetParam());
  std::array<std::byte, 1000> out;
  ASSERT_TRUE(inflater->Reset());
  const auto step = inflater->Inflate(AsBytes("\x07 no such block type"), out);
  ASSERT_FALSE(step.has_value());
  EXPECT_EQ(step.error().code, Errc::kCorrupt);
  std::mt19937 random(1);
  EXPECT_EQ(InflateAndReturnRest(*inflater, Deflate("content"), "", random), "content");
}

TEST_P(InflaterTest, RefusesADistanceBeyondTheBegin) {
  const auto inflater = MakeInflater(GetParam());
  ASSERT_TRUE(inflater->Reset());
  // One fixed block: a match of length 3 at distance 1, with nothing before it.
  std::array<std::byte, 1000> out;
  const auto step =
      inflater->Inflate(AsBytes(std::string_view("\x03\x02\x00\x00\x00\x00", 6)), out);
  EXPECT_FALSE(step.has_value());
}

INSTANTIATE_TEST_SUITE_P(Kinds, InflaterTest,
                         ::testing::Values(InflaterKind::kFastest, InflaterKind::kZlib));

TEST(Crc32, AgreesWithZlibInAnyPieces) {
  const std::string content = Noise(100'000, 3, 256);
  EXPECT_EQ(Crc32(0, {}), 0u);
  EXPECT_EQ(Crc32(0, AsBytes("123456789")), 0xcbf43926u);
  std::mt19937 random(4);
  uint32_t crc = 0;
  for (size_t offset = 0; offset < content.size();) {
    const size_t count = std::min<size_t>(random() % 3000, content.size() - offset);
    crc = Crc32(crc, AsBytes(std::string_view(content).substr(offset, count)));
    offset += count;
  }
  EXPECT_EQ(crc, Crc32Of(content));
}

}  // namespace
}  // namespace tciafs::zip
