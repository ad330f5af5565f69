// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#ifdef TCIAFS_HAVE_ISAL
#include "zip/isal_inflater.h"

#include <fmt/core.h>
#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <array>

namespace tciafs::zip {
namespace {

// ISA-L counts in 32 bits. One step stays far below, and the running total, which ISA-L uses only
// to refuse distances that reach back before the stream's begin, is held at a value that is well
// beyond the 32 KiB window and never wraps to a small one after 4 GiB.
constexpr size_t kStepBytesMax = size_t{1} << 28;
constexpr uint32_t kTotalOutMax = uint32_t{1} << 30;

const char* Reason(int code) {
  switch (code) {
    case ISAL_INVALID_BLOCK:
      return "invalid block";
    case ISAL_INVALID_SYMBOL:
      return "invalid symbol";
    case ISAL_INVALID_LOOKBACK:
      return "distance too far back";
    default:
      return "not DEFLATE";
  }
}

class IsalInflater final : public Inflater {
 public:
  IsalInflater() : state_(std::make_unique<inflate_state>()) { Start(); }

  Status Reset() override {
    Start();
    return {};
  }

  Result<InflateStep> Inflate(ByteView in, std::span<std::byte> out) override {
    const auto in_bytes = static_cast<uint32_t>(std::min(in.size(), kStepBytesMax));
    const auto out_bytes = static_cast<uint32_t>(std::min(out.size(), kStepBytesMax));
    static const uint8_t kNothing = 0;
    const auto* first = in.empty() ? &kNothing : reinterpret_cast<const uint8_t*>(in.data());
    state_->next_in = const_cast<uint8_t*>(first);  // only read through
    state_->avail_in = in_bytes;
    state_->next_out = reinterpret_cast<uint8_t*>(out.data());
    state_->avail_out = out_bytes;
    const int code = isal_inflate(state_.get());
    if (code != ISAL_DECOMP_OK)
      return Fail(Errc::kCorrupt, fmt::format("damaged compressed data ({})", Reason(code)));
    state_->total_out = std::min(state_->total_out, kTotalOutMax);
    InflateStep step;
    step.consumed_bytes = in_bytes - state_->avail_in;
    step.produced_bytes = out_bytes - state_->avail_out;
    step.finished = state_->block_state == ISAL_BLOCK_FINISH;
    if (step.finished) KeepUnread();
    return step;
  }

  ByteView Unread() const override { return {unread_.data(), unread_count_}; }

 private:
  void Start() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_DEFLATE;
    state_->hist_bits = 0;  // the full window
    unread_count_ = 0;
  }

  // What is left in the bit buffer: the rest of the last byte is padding, whole bytes are not ours.
  void KeepUnread() {
    const auto bits = static_cast<uint32_t>(std::max(state_->read_in_length, 0));
    uint64_t rest = state_->read_in >> (bits % 8);
    unread_count_ = bits / 8;
    for (size_t i = 0; i < unread_count_; ++i, rest >>= 8) unread_[i] = std::byte(rest & 0xff);
  }

  std::unique_ptr<inflate_state> state_;
  std::array<std::byte, sizeof(uint64_t)> unread_ = {};
  size_t unread_count_ = 0;
};

}  // namespace

std::unique_ptr<Inflater> MakeIsalInflater() { return std::make_unique<IsalInflater>(); }

}  // namespace tciafs::zip
#endif  // TCIAFS_HAVE_ISAL
