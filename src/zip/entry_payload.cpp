// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/entry_payload.h"

#include <fmt/core.h>

#include <algorithm>
#include <span>
#include <utility>

#include "zip/crc32.h"
#include "zip/entry_label.h"

namespace tciafs::zip {
namespace {

constexpr size_t kPieceBytesMax = size_t{256} << 10;  // of what the handler gets at once

// Takes up to `max_bytes` off the front of `in`.
ByteView TakeFront(ByteView& in, uint64_t max_bytes) {
  const ByteView front = in.first(static_cast<size_t>(std::min<uint64_t>(in.size(), max_bytes)));
  in = in.subspan(front.size());
  return front;
}

}  // namespace

EntryPayload::EntryPayload(ZipHandler& handler, const ZipLimits& limits,
                           std::unique_ptr<Inflater> inflater)
    : handler_(handler), limits_(limits), inflater_(std::move(inflater)) {}

Status EntryPayload::Begin(LocalHeader header, uint64_t number) {
  header_ = std::move(header);
  number_ = number;
  was_output_full_ = false;
  compressed_bytes_ = 0;
  size_bytes_ = 0;
  crc32_ = 0;

  const bool shows_no_size = header_.compressed_bytes == 0 && header_.size_bytes == 0;
  // A stored entry may have its sizes in the header although a descriptor follows; a directory has
  // none to have.
  are_sizes_known_ = !header_.SizesFollow() || (header_.method == kMethodStored &&
                                                (!shows_no_size || header_.name.ends_with('/')));
  // Some writers call an empty entry deflated and spare even the empty stream.
  is_deflated_ = header_.method == kMethodDeflated && !(are_sizes_known_ && shows_no_size);
  TCIAFS_TRY(CheckReadable());
  if (is_deflated_) {
    TCIAFS_TRY(inflater_->Reset());
    if (!output_) output_ = std::make_unique_for_overwrite<std::byte[]>(kPieceBytesMax);
  }
  return handler_.OnEntryBegin(header_.name);
}

Status EntryPayload::CheckReadable() const {
  if ((header_.flags & kFlagEncrypted) != 0) return Damaged("is encrypted");
  if ((header_.flags & kFlagPatched) != 0) return Damaged("holds a patch, not data");
  if (header_.method != kMethodStored && header_.method != kMethodDeflated)
    return Damaged(fmt::format("compression method {} is not supported", header_.method));
  if (are_sizes_known_) return CheckDeclaredSizes();
  if (header_.method == kMethodStored) return Damaged("is stored with no size in its header");
  return {};
}

Status EntryPayload::CheckDeclaredSizes() const {
  if (header_.method == kMethodStored && header_.compressed_bytes != header_.size_bytes)
    return Damaged("is stored, but its two sizes differ");
  if (header_.size_bytes > limits_.entry_bytes_max)
    return Damaged(fmt::format("is larger than {} bytes", limits_.entry_bytes_max));
  if (header_.size_bytes > limits_.total_bytes_max - total_bytes_)
    return Damaged(fmt::format("takes the zip beyond {} bytes", limits_.total_bytes_max));
  return {};
}

Result<bool> EntryPayload::Take(ByteView& in) {
  return is_deflated_ ? TakeDeflated(in) : TakeStored(in);
}

Result<bool> EntryPayload::TakeStored(ByteView& in) {
  while (DeclaredLeftBytes() > 0) {
    if (in.empty()) return false;
    const ByteView piece = TakeFront(in, std::min<uint64_t>(DeclaredLeftBytes(), kPieceBytesMax));
    compressed_bytes_ += piece.size();
    TCIAFS_TRY(Emit(piece));
  }
  return CheckEnd();
}

Result<bool> EntryPayload::TakeDeflated(ByteView& in) {
  // A full output may hide more, even when no input is left.
  while (!in.empty() || was_output_full_) {
    TCIAFS_ASSIGN(const bool ended, InflateSome(in));
    if (!ended) continue;
    compressed_bytes_ -= inflater_->Unread().size();
    return CheckEnd();
  }
  return false;
}

Result<bool> EntryPayload::InflateSome(ByteView& in) {
  ByteView available = in;
  if (are_sizes_known_) available = TakeFront(available, DeclaredLeftBytes());
  if (available.empty() && !was_output_full_)
    return Damaged("its compressed data goes on beyond the size in its header");

  const std::span<std::byte> output(output_.get(), kPieceBytesMax);
  auto inflated = inflater_->Inflate(available, output);
  if (!inflated) return Fail(inflated.error().Within(Label()));
  in = in.subspan(inflated->consumed_bytes);
  compressed_bytes_ += inflated->consumed_bytes;
  was_output_full_ = inflated->produced_bytes == output.size();
  if (inflated->produced_bytes > 0) {
    TCIAFS_TRY(Emit(output.first(inflated->produced_bytes)));
  } else if (inflated->consumed_bytes == 0 && !available.empty() && !inflated->finished) {
    return Damaged("its compressed data cannot be read on");
  }
  return inflated->finished;
}

ByteView EntryPayload::Unread() const { return is_deflated_ ? inflater_->Unread() : ByteView(); }

Result<bool> EntryPayload::CheckEnd() const {
  if (!are_sizes_known_) return true;
  if (compressed_bytes_ != header_.compressed_bytes)
    return Damaged("its compressed data ends before the size in its header");
  if (size_bytes_ != header_.size_bytes)
    return Damaged(
        fmt::format("is {} bytes long, its header says {}", size_bytes_, header_.size_bytes));
  return true;
}

Status EntryPayload::Emit(ByteView piece) {
  if (are_sizes_known_ && piece.size() > header_.size_bytes - size_bytes_)
    return Damaged("is longer than its header says");
  if (piece.size() > limits_.entry_bytes_max - size_bytes_)
    return Damaged(fmt::format("is larger than {} bytes", limits_.entry_bytes_max));
  if (piece.size() > limits_.total_bytes_max - total_bytes_)
    return Damaged(fmt::format("takes the zip beyond {} bytes", limits_.total_bytes_max));
  size_bytes_ += piece.size();
  total_bytes_ += piece.size();
  crc32_ = Crc32(crc32_, piece);
  return handler_.OnEntryData(piece);
}

Status EntryPayload::End() { return handler_.OnEntryEnd({size_bytes_, crc32_}); }

std::string EntryPayload::Label() const { return "zip " + EntryLabel(number_, header_.name); }

tl::unexpected<Error> EntryPayload::Damaged(std::string_view what) const {
  return Fail(Errc::kCorrupt, fmt::format("{}: {}", Label(), what));
}

}  // namespace tciafs::zip
