// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Md5HexOfEach: messages take turns on the lanes of md5_lanes.h.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "tciafs/util/hash.h"
#include "util/md5_lanes.h"

namespace tciafs {
namespace {

// A message as runs of whole blocks, padded at its end.
class BlockRuns {
 public:
  explicit BlockRuns(const std::vector<ByteView>& pieces) : pieces_(pieces) { Next(); }
  BlockRuns(const BlockRuns&) = delete;  // blocks_ may point into joined_
  BlockRuns& operator=(const BlockRuns&) = delete;

  const std::byte* blocks() const { return blocks_; }
  size_t count() const { return count_; }  // 0 after the last
  void Take(size_t count) {
    blocks_ += count * md5::kBlockBytes;
    count_ -= count;
    if (count_ == 0) Next();
  }

 private:
  void Next() {
    if (padded_) return;
    SkipTakenPieces();
    if (next_ < pieces_.size() && Rest().size() >= md5::kBlockBytes) {
      const ByteView rest = Rest();
      blocks_ = rest.data();
      count_ = rest.size() / md5::kBlockBytes;
      Count(count_ * md5::kBlockBytes);
      return;
    }
    const size_t joined_bytes = Join();
    blocks_ = joined_.data();
    count_ = joined_bytes == md5::kBlockBytes ? 1 : Pad(joined_bytes);
  }

  void SkipTakenPieces() {
    for (; next_ < pieces_.size() && taken_ == pieces_[next_].size(); ++next_) taken_ = 0;
  }
  ByteView Rest() const { return pieces_[next_].subspan(taken_); }
  void Count(size_t bytes) {
    taken_ += bytes;
    size_bytes_ += bytes;
  }

  // A block across the borders of pieces; less only at the end.
  size_t Join() {
    size_t joined_bytes = 0;
    for (SkipTakenPieces(); next_ < pieces_.size() && joined_bytes < md5::kBlockBytes;
         SkipTakenPieces()) {
      const size_t more = std::min(Rest().size(), md5::kBlockBytes - joined_bytes);
      std::memcpy(joined_.data() + joined_bytes, Rest().data(), more);
      joined_bytes += more;
      Count(more);
    }
    return joined_bytes;
  }

  size_t Pad(size_t joined_bytes) {
    padded_ = true;
    const size_t blocks = joined_bytes + 1 + sizeof(uint64_t) <= md5::kBlockBytes ? 1 : 2;
    std::fill(joined_.begin() + static_cast<ptrdiff_t>(joined_bytes), joined_.end(), std::byte{0});
    joined_[joined_bytes] = std::byte{0x80};
    std::byte* const end = joined_.data() + blocks * md5::kBlockBytes;
    for (size_t i = 0; i < sizeof(uint64_t); ++i)
      end[static_cast<ptrdiff_t>(i) - 8] = std::byte(size_bytes_ * 8 >> (8 * i) & 0xff);
    return blocks;
  }

  const std::vector<ByteView>& pieces_;
  size_t next_ = 0;   // of pieces_
  size_t taken_ = 0;  // of that one
  uint64_t size_bytes_ = 0;
  std::array<std::byte, 2 * md5::kBlockBytes> joined_ = {};
  bool padded_ = false;
  const std::byte* blocks_ = nullptr;
  size_t count_ = 0;
};

std::string HexOfLane(const md5::LaneStates& states, size_t lane) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const auto& word : states)
    for (int shift = 0; shift < 32; shift += 8) {
      hex += kDigits[word[lane] >> (shift + 4) & 15];
      hex += kDigits[word[lane] >> shift & 15];
    }
  return hex;
}

class Lanes {
 public:
  explicit Lanes(const std::vector<std::vector<ByteView>>& messages)
      : messages_(messages), sums_(messages.size()) {}

  std::vector<std::string> Run() {
    while (Fill()) Step();
    return std::move(sums_);
  }

 private:
  struct Lane {
    Lane(size_t message, const std::vector<ByteView>& pieces) : number(message), runs(pieces) {}
    const size_t number;  // of its message
    BlockRuns runs;
  };

  // False when all is done.
  bool Fill() {
    bool busy = false;
    for (size_t i = 0; i < md5::kLanes; ++i) {
      if (!lanes_[i] && next_ < messages_.size()) {
        lanes_[i].emplace(next_, messages_[next_]);
        ++next_;
        for (size_t word = 0; word < states_.size(); ++word)
          states_[word][i] = md5::kFirstState[word];
      }
      busy = busy || lanes_[i];
    }
    return busy;
  }

  void Step() {
    size_t busy = 0;
    size_t last = 0;
    size_t count = SIZE_MAX;
    for (size_t i = 0; i < md5::kLanes; ++i) {
      if (!lanes_[i]) continue;
      ++busy;
      last = i;
      count = std::min(count, lanes_[i]->runs.count());
    }
    busy == 1 ? CompressLast(last, count) : CompressAll(last, count);
    for (size_t i = 0; i < md5::kLanes; ++i) {
      if (!lanes_[i]) continue;
      lanes_[i]->runs.Take(count);
      if (lanes_[i]->runs.count() > 0) continue;
      sums_[lanes_[i]->number] = HexOfLane(states_, i);
      lanes_[i].reset();
    }
  }

  // Idle lanes go along with a busy one.
  void CompressAll(size_t busy, size_t count) {
    md5::LaneBlocks blocks;
    for (size_t i = 0; i < md5::kLanes; ++i)
      blocks[i] = lanes_[lanes_[i] ? i : busy]->runs.blocks();
    md5::FastestCompress()(states_, blocks, count);
  }

  void CompressLast(size_t lane, size_t count) {
    for (auto& word : states_) std::swap(word[0], word[lane]);
    md5::CompressOne(states_, {lanes_[lane]->runs.blocks()}, count);
    for (auto& word : states_) std::swap(word[0], word[lane]);
  }

  const std::vector<std::vector<ByteView>>& messages_;
  std::vector<std::string> sums_;
  size_t next_ = 0;
  md5::LaneStates states_ = {};
  std::array<std::optional<Lane>, md5::kLanes> lanes_;
};

}  // namespace

std::vector<std::string> Md5HexOfEach(const std::vector<std::vector<ByteView>>& messages) {
  if (messages.size() != 1) return Lanes(messages).Run();
  Md5 md5;
  for (const ByteView piece : messages.front()) md5.Update(piece);
  return {md5.FinishHex()};
}

}  // namespace tciafs
