// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "util/md5_lanes.h"

namespace tciafs {
namespace {

// RFC 1321, appendix A.5.
TEST(Md5, KnownSums) {
  EXPECT_EQ(Md5().FinishHex(), "d41d8cd98f00b204e9800998ecf8427e");
  Md5 md5;
  md5.Update(AsBytes("message "));
  md5.Update(AsBytes("digest"));
  EXPECT_EQ(md5.FinishHex(), "f96b697d7cb7938d525a2f31aaf161d0");
}

std::string Md5Of(std::string_view text) {
  Md5 md5;
  md5.Update(AsBytes(text));
  return md5.FinishHex();
}

std::string RandomText(std::mt19937& random, size_t size) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(Md5HexOfEach, NoneAndEmptyOnes) {
  EXPECT_TRUE(Md5HexOfEach({}).empty());
  const std::vector<std::string> sums(3, Md5().FinishHex());
  EXPECT_EQ(Md5HexOfEach({{}, {ByteView()}, {}}), sums);
}

// Around the borders of blocks and of the padding, more of them than there are lanes.
TEST(Md5HexOfEach, EverySizeAsOneByOne) {
  std::mt19937 random(1);
  std::vector<std::string> texts;
  for (size_t size = 0; size < 200; ++size) texts.push_back(RandomText(random, size));
  std::vector<std::vector<ByteView>> messages;
  for (const auto& text : texts) messages.push_back({AsBytes(text)});
  const auto sums = Md5HexOfEach(messages);
  ASSERT_EQ(sums.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(sums[i], Md5Of(texts[i])) << i << " bytes";
}

TEST(Md5HexOfEach, PiecesOfAnySize) {
  std::mt19937 random(2);
  for (size_t count = 1; count <= 2 * md5::kLanes + 1; ++count) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < count; ++i) texts.push_back(RandomText(random, random() % 5000));
    std::vector<std::vector<ByteView>> messages;
    for (const auto& text : texts) {
      auto& pieces = messages.emplace_back();
      for (ByteView rest = AsBytes(text); !rest.empty(); rest = rest.subspan(pieces.back().size()))
        pieces.push_back(rest.first(std::min<size_t>(rest.size(), random() % 300)));
    }
    const auto sums = Md5HexOfEach(messages);
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(sums[i], Md5Of(texts[i])) << i << " of " << count;
  }
}

// Whatever this processor has instructions for, not only the fastest of it.
TEST(Md5Lanes, EveryKindAgreesWithOneLaneAlone) {
  std::mt19937 random(3);
  const std::string text = RandomText(random, md5::kLanes * 3 * md5::kBlockBytes);
  md5::LaneBlocks blocks = {};
  for (size_t i = 0; i < md5::kLanes; ++i)
    blocks[i] = AsBytes(text).data() + i * 3 * md5::kBlockBytes;
  for (const auto& kind : md5::AllCompress()) {
    md5::LaneStates together;
    for (size_t word = 0; word < together.size(); ++word)
      together[word].fill(md5::kFirstState[word]);
    kind.compress(together, blocks, 3);
    for (size_t i = 0; i < md5::kLanes; ++i) {
      md5::LaneStates alone = {};
      for (size_t word = 0; word < alone.size(); ++word) alone[word][0] = md5::kFirstState[word];
      md5::CompressOne(alone, {blocks[i]}, 3);
      for (size_t word = 0; word < alone.size(); ++word)
        EXPECT_EQ(together[word][i], alone[word][0]) << kind.name << ", lane " << i;
    }
  }
}

TEST(Xxh3, KnownValueAndSeed) {
  EXPECT_EQ(Xxh3({}), 0x2d06800538d394c2u);  // XXH3_64bits of nothing
  EXPECT_NE(Xxh3(AsBytes("a"), 1), Xxh3(AsBytes("a"), 2));
  EXPECT_NE(Xxh3Wide(AsBytes("a")), Xxh3Wide(AsBytes("b")));
}

}  // namespace
}  // namespace tciafs
