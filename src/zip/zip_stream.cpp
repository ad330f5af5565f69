// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A state machine over records. What is awkward in a zip read front to back, and where it is dealt
// with:
// - records may be cut anywhere: Gather collects them in `record_`; payload is never collected;
// - DEFLATE alone knows where it ends, and the inflater may have taken bytes beyond: EndDeflated
//   puts these back at the front of `record_`;
// - the data descriptor comes in four layouts: data_descriptor.h, TakeDescriptor;
// - whether the zip is whole is known from its very end only: directory_tally.h, Finish.
#include "tciafs/zip/zip_stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "zip/crc32.h"
#include "zip/data_descriptor.h"
#include "zip/directory_tally.h"
#include "zip/entry_label.h"
#include "zip/inflater.h"
#include "zip/zip_records.h"

namespace tciafs::zip {
namespace {

constexpr size_t kPieceBytesMax = 256 * 1024;  // of what the handler gets at once
// Of the data that zip64 allows in its end record; nobody writes any.
constexpr uint64_t kZip64EndVariableBytesMax = 64 * 1024;
// Of the archive extra data record, which belongs to encrypted directories.
constexpr uint64_t kArchiveExtraBytesMax = 64 * 1024;

}  // namespace

struct ZipStream::State {
  enum class Phase {
    kSignature,
    kLocalHeader,
    kLocalVariable,
    kStored,
    kDeflated,
    kDescriptor,
    kAfterEmpty,
    kArchiveExtra,
    kCentralHeader,
    kDigitalSignature,
    kZip64End,
    kZip64Locator,
    kEnd,
    kSkip,
    kDone,
  };

  State(ZipHandler& zip_handler, const ZipLimits& zip_limits, std::unique_ptr<Inflater> inflate)
      : handler_(zip_handler), limits_(zip_limits), inflater_(std::move(inflate)) {}

  Status Push(ByteView bytes);
  Status Finish();

  // One step. True: go on; false: more input is needed (or the zip is over).
  Result<bool> Advance(ByteView& in);
  bool Gather(ByteView& in, size_t size_bytes);
  void Await(Phase phase, size_t size_bytes);
  void NextRecord();
  void SkipThen(Phase phase, uint64_t size_bytes);
  Result<bool> Skip(ByteView& in);

  Result<bool> BeginRecord();
  Result<bool> TakeLocalHeader();
  Result<bool> BeginEntry();
  Status CheckReadable() const;
  Result<bool> PassStored(ByteView& in);
  Result<bool> PassDeflated(ByteView& in);
  Result<bool> EndDeflated();
  Result<bool> EndPayload();
  Result<bool> TakeDescriptor();
  Result<bool> LookBehindEmpty();
  Result<bool> EndEntry();
  Status Emit(ByteView piece);

  Result<bool> TakeArchiveExtra();
  Result<bool> TakeCentralHeader();
  Result<bool> TakeDigitalSignature();
  Result<bool> TakeZip64End();
  Result<bool> TakeZip64Locator();
  Result<bool> TakeEnd();

  std::string Label() const { return "zip " + EntryLabel(tally_.entries(), header_.name); }
  tl::unexpected<Error> Damaged(std::string_view what) const {
    return Fail(Errc::kCorrupt, fmt::format("{}: {}", Label(), what));
  }

  ZipHandler& handler_;
  const ZipLimits limits_;
  const std::unique_ptr<Inflater> inflater_;

  Phase phase_ = Phase::kSignature;
  std::optional<Error> failure_;
  uint64_t taken_bytes_ = 0;       // of the zip, those in record_ included
  std::vector<std::byte> record_;  // the record being gathered, sometimes a few bytes beyond it
  size_t awaited_bytes_ = kSignatureBytes;
  uint64_t skip_bytes_ = 0;
  Phase after_skip_ = Phase::kSignature;
  DirectoryTally tally_;
  uint64_t entries_ended_ = 0;
  uint64_t total_bytes_ = 0;

  // The current entry.
  LocalHeader header_;
  bool sizes_known_ = false;
  uint64_t compressed_bytes_ = 0;
  uint64_t size_bytes_ = 0;
  uint32_t crc32_ = 0;
  bool output_was_full_ = false;
  std::unique_ptr<std::byte[]> output_;
};

Status ZipStream::State::Push(ByteView bytes) {
  if (failure_) return Fail(*failure_);
  for (;;) {
    Result<bool> more = Advance(bytes);
    if (!more) {
      failure_ = more.error();
      return Fail(std::move(more).error());
    }
    if (!*more) return {};
  }
}

Status ZipStream::State::Finish() {
  if (failure_) return Fail(*failure_);
  if (phase_ == Phase::kDone) return {};
  const bool in_entry =
      phase_ == Phase::kStored || phase_ == Phase::kDeflated || phase_ == Phase::kDescriptor;
  failure_ = Error{
      Errc::kCorrupt,
      in_entry ? fmt::format("{}: the zip ends inside it, after {} bytes", Label(), taken_bytes_)
               : fmt::format("zip: ends after {} bytes and {} entries without an end "
                             "record",
                             taken_bytes_, entries_ended_)};
  return Fail(*failure_);
}

Result<bool> ZipStream::State::Advance(ByteView& in) {
  switch (phase_) {
    case Phase::kStored:
      return PassStored(in);
    case Phase::kDeflated:
      return PassDeflated(in);
    case Phase::kSkip:
      return Skip(in);
    case Phase::kDone:
      if (in.empty() && record_.empty()) return false;
      return Fail(Errc::kCorrupt, "zip: goes on after its end record");
    default:
      break;
  }
  if (!Gather(in, awaited_bytes_)) return false;
  switch (phase_) {
    case Phase::kSignature:
      return BeginRecord();
    case Phase::kLocalHeader:
      return TakeLocalHeader();
    case Phase::kLocalVariable:
      return BeginEntry();
    case Phase::kDescriptor:
      return TakeDescriptor();
    case Phase::kAfterEmpty:
      return LookBehindEmpty();
    case Phase::kArchiveExtra:
      return TakeArchiveExtra();
    case Phase::kCentralHeader:
      return TakeCentralHeader();
    case Phase::kDigitalSignature:
      return TakeDigitalSignature();
    case Phase::kZip64End:
      return TakeZip64End();
    case Phase::kZip64Locator:
      return TakeZip64Locator();
    case Phase::kEnd:
      return TakeEnd();
    case Phase::kStored:
    case Phase::kDeflated:
    case Phase::kSkip:
    case Phase::kDone:
      break;
  }
  return Fail(Errc::kInternal, "zip: no such phase");
}

// ---- records ----

bool ZipStream::State::Gather(ByteView& in, size_t size_bytes) {
  if (record_.size() < size_bytes) {
    const size_t count = std::min(in.size(), size_bytes - record_.size());
    record_.insert(record_.end(), in.begin(), in.begin() + count);
    in = in.subspan(count);
    taken_bytes_ += count;
  }
  return record_.size() >= size_bytes;
}

void ZipStream::State::Await(Phase phase, size_t size_bytes) {
  phase_ = phase;
  awaited_bytes_ = size_bytes;
}

// Leaves behind what was awaited; what was gathered beyond it stays for the next record.
void ZipStream::State::NextRecord() {
  record_.erase(record_.begin(), record_.begin() + std::min(awaited_bytes_, record_.size()));
  Await(Phase::kSignature, kSignatureBytes);
}

void ZipStream::State::SkipThen(Phase phase, uint64_t size_bytes) {
  NextRecord();
  phase_ = Phase::kSkip;
  skip_bytes_ = size_bytes;
  after_skip_ = phase;
}

Result<bool> ZipStream::State::Skip(ByteView& in) {
  const auto gathered = static_cast<size_t>(std::min<uint64_t>(record_.size(), skip_bytes_));
  record_.erase(record_.begin(), record_.begin() + gathered);
  skip_bytes_ -= gathered;
  const auto count = static_cast<size_t>(std::min<uint64_t>(in.size(), skip_bytes_));
  in = in.subspan(count);
  taken_bytes_ += count;
  skip_bytes_ -= count;
  if (skip_bytes_ > 0) return false;
  Await(after_skip_, kSignatureBytes);
  return true;
}

Result<bool> ZipStream::State::BeginRecord() {
  const uint32_t signature = Load32(record_, 0);
  switch (signature) {
    case kLocalHeaderSignature:
      TCIAFS_TRY(tally_.OnLocalHeader(limits_.entries_max));
      Await(Phase::kLocalHeader, kLocalHeaderBytes);
      return true;
    case kArchiveExtraSignature:
      Await(Phase::kArchiveExtra, kArchiveExtraBytes);
      return true;
    case kCentralHeaderSignature:
      TCIAFS_TRY(tally_.OnCentralHeader(taken_bytes_ - record_.size()));
      Await(Phase::kCentralHeader, kCentralHeaderBytes);
      return true;
    case kDigitalSignatureSignature:
      Await(Phase::kDigitalSignature, kDigitalSignatureBytes);
      return true;
    case kZip64EndSignature:
      Await(Phase::kZip64End, kZip64EndBytes);
      return true;
    case kZip64LocatorSignature:
      Await(Phase::kZip64Locator, kZip64LocatorBytes);
      return true;
    case kEndSignature:
      Await(Phase::kEnd, kEndBytes);
      return true;
    default:
      break;
  }
  const uint64_t offset = taken_bytes_ - record_.size();
  if (offset == 0) return Fail(Errc::kCorrupt, "not a zip: it begins with no zip signature");
  return Fail(Errc::kCorrupt, fmt::format("zip: unknown record {:08x} at byte {}, after entry {}",
                                          signature, offset, tally_.entries()));
}

// ---- entries ----

Result<bool> ZipStream::State::TakeLocalHeader() {
  const size_t name_bytes = LocalNameBytes(record_);
  if (name_bytes > limits_.name_bytes_max)
    return Fail(Errc::kCorrupt, fmt::format("zip: entry {} has a name of {} bytes, {} are allowed",
                                            tally_.entries(), name_bytes, limits_.name_bytes_max));
  Await(Phase::kLocalVariable, kLocalHeaderBytes + name_bytes + LocalExtraBytes(record_));
  return true;
}

Result<bool> ZipStream::State::BeginEntry() {
  header_ = ParseLocalHeader(record_);
  compressed_bytes_ = 0;
  size_bytes_ = 0;
  crc32_ = 0;
  const bool is_empty_directory =
      header_.name.ends_with('/') && header_.compressed_bytes == 0 && header_.size_bytes == 0;
  // A stored entry may have both: sizes here, and the descriptor that is promised.
  sizes_known_ = !header_.SizesFollow() || (header_.method == kMethodStored &&
                                            (header_.compressed_bytes != 0 || is_empty_directory));
  TCIAFS_TRY(CheckReadable());
  TCIAFS_TRY(handler_.OnEntryBegin(header_.name));
  // The local header is longer than anything gathered ahead, so the record ends where it ends.
  NextRecord();
  const bool is_empty = sizes_known_ && header_.compressed_bytes == 0 && header_.size_bytes == 0;
  if (header_.method == kMethodStored || is_empty) {
    phase_ = Phase::kStored;
    return true;
  }
  TCIAFS_TRY(inflater_->Reset());
  if (!output_) output_ = std::make_unique_for_overwrite<std::byte[]>(kPieceBytesMax);
  output_was_full_ = false;
  phase_ = Phase::kDeflated;
  return true;
}

Status ZipStream::State::CheckReadable() const {
  if ((header_.flags & kFlagEncrypted) != 0) return Damaged("is encrypted");
  if ((header_.flags & kFlagPatched) != 0) return Damaged("holds a patch, not data");
  if (header_.method != kMethodStored && header_.method != kMethodDeflated)
    return Damaged(fmt::format("compression method {} is not supported", header_.method));
  if (!sizes_known_)
    return header_.method == kMethodStored ? Status(Damaged("is stored with no size in its header"))
                                           : Status();
  if (header_.method == kMethodStored && header_.compressed_bytes != header_.size_bytes)
    return Damaged("is stored, but its two sizes differ");
  if (header_.size_bytes > limits_.entry_bytes_max)
    return Damaged(fmt::format("is larger than {} bytes", limits_.entry_bytes_max));
  if (header_.size_bytes > limits_.total_bytes_max - total_bytes_)
    return Damaged(fmt::format("takes the zip beyond {} bytes", limits_.total_bytes_max));
  return {};
}

Result<bool> ZipStream::State::PassStored(ByteView& in) {
  const uint64_t left_bytes = header_.compressed_bytes - compressed_bytes_;
  if (left_bytes == 0) return EndPayload();
  if (in.empty()) return false;
  const ByteView piece = in.first(
      static_cast<size_t>(std::min({uint64_t{in.size()}, left_bytes, uint64_t{kPieceBytesMax}})));
  in = in.subspan(piece.size());
  taken_bytes_ += piece.size();
  compressed_bytes_ += piece.size();
  TCIAFS_TRY(Emit(piece));
  return true;
}

Result<bool> ZipStream::State::PassDeflated(ByteView& in) {
  ByteView available = in;
  if (sizes_known_) {
    const uint64_t left_bytes = header_.compressed_bytes - compressed_bytes_;
    available = in.first(static_cast<size_t>(std::min<uint64_t>(in.size(), left_bytes)));
    if (left_bytes == 0 && !output_was_full_)
      return Damaged("its compressed data goes on beyond the size in its header");
  }
  if (available.empty() && !output_was_full_) return false;

  const std::span<std::byte> output(output_.get(), kPieceBytesMax);
  auto inflated = inflater_->Inflate(available, output);
  if (!inflated) return Fail(inflated.error().Within(Label()));
  const InflateStep step = *inflated;
  in = in.subspan(step.consumed_bytes);
  taken_bytes_ += step.consumed_bytes;
  compressed_bytes_ += step.consumed_bytes;
  output_was_full_ = step.produced_bytes == output.size();
  if (step.produced_bytes > 0) TCIAFS_TRY(Emit(output.first(step.produced_bytes)));
  if (step.finished) return EndDeflated();
  if (step.consumed_bytes == 0 && step.produced_bytes == 0 && !available.empty())
    return Damaged("its compressed data cannot be read on");
  return true;
}

Result<bool> ZipStream::State::EndDeflated() {
  const ByteView unread = inflater_->Unread();
  record_.assign(unread.begin(), unread.end());
  compressed_bytes_ -= unread.size();
  return EndPayload();
}

Result<bool> ZipStream::State::EndPayload() {
  if (sizes_known_) {
    if (compressed_bytes_ != header_.compressed_bytes)
      return Damaged("its compressed data ends before the size in its header");
    if (size_bytes_ != header_.size_bytes)
      return Damaged(
          fmt::format("is {} bytes long, its header says {}", size_bytes_, header_.size_bytes));
  }
  if (header_.SizesFollow()) {
    Await(Phase::kDescriptor, kDescriptorBytesMin);
    return true;
  }
  if (crc32_ != header_.crc32) return Damaged("its CRC is wrong");
  if (size_bytes_ == 0) {
    Await(Phase::kAfterEmpty, kSignatureBytes);
    return true;
  }
  awaited_bytes_ = 0;
  return EndEntry();
}

// No checksum speaks for an entry that is empty only because its header says so: one bit of damage
// makes it of an entry whose sizes were to follow. What comes next tells.
Result<bool> ZipStream::State::LookBehindEmpty() {
  if (!IsSignature(Load32(record_, 0)))
    return Damaged("is empty by its header, but something follows it");
  awaited_bytes_ = 0;
  return EndEntry();
}

Result<bool> ZipStream::State::TakeDescriptor() {
  const DescriptorMatch match = MatchDescriptor(record_, crc32_, compressed_bytes_, size_bytes_);
  switch (match.kind) {
    case DescriptorMatch::Kind::kNone:
      return Damaged("its CRC or its size is not what the archive says");
    case DescriptorMatch::Kind::kUndecided:
      awaited_bytes_ = match.size_bytes;
      return true;
    case DescriptorMatch::Kind::kFound:
      break;
  }
  awaited_bytes_ = match.size_bytes;
  return EndEntry();
}

Result<bool> ZipStream::State::EndEntry() {
  NextRecord();
  TCIAFS_TRY(handler_.OnEntryEnd({size_bytes_, crc32_}));
  ++entries_ended_;
  return true;
}

Status ZipStream::State::Emit(ByteView piece) {
  if (sizes_known_ && piece.size() > header_.size_bytes - size_bytes_)
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

// ---- after the entries ----

Result<bool> ZipStream::State::TakeArchiveExtra() {
  TCIAFS_TRY(tally_.OnArchiveExtra());
  const uint64_t size_bytes = Load32(record_, 4);
  if (size_bytes > kArchiveExtraBytesMax)
    return Fail(Errc::kCorrupt, "zip: archive extra data record is too long");
  SkipThen(Phase::kSignature, size_bytes);
  return true;
}

Result<bool> ZipStream::State::TakeCentralHeader() {
  SkipThen(Phase::kSignature, CentralVariableBytes(record_));
  return true;
}

Result<bool> ZipStream::State::TakeDigitalSignature() {
  TCIAFS_TRY(tally_.OnDigitalSignature());
  SkipThen(Phase::kSignature, Load16(record_, 4));
  return true;
}

Result<bool> ZipStream::State::TakeZip64End() {
  const EndRecord end = ParseZip64End(record_);
  TCIAFS_TRY(tally_.OnZip64End(taken_bytes_ - record_.size(), end));
  if (end.variable_bytes > kZip64EndVariableBytesMax)
    return Fail(Errc::kCorrupt, "zip: zip64 end record of a wrong length");
  SkipThen(Phase::kSignature, end.variable_bytes);
  return true;
}

Result<bool> ZipStream::State::TakeZip64Locator() {
  TCIAFS_TRY(tally_.OnZip64Locator(Load64(record_, 8)));
  NextRecord();
  return true;
}

Result<bool> ZipStream::State::TakeEnd() {
  const EndRecord end = ParseEnd(record_);
  TCIAFS_TRY(tally_.OnEnd(taken_bytes_ - record_.size(), end));
  SkipThen(Phase::kDone, end.variable_bytes);
  return true;
}

ZipStream::ZipStream(ZipHandler& handler, const ZipLimits& limits)
    : ZipStream(handler, limits, MakeInflater(InflaterKind::kFastest)) {}
ZipStream::ZipStream(ZipHandler& handler, const ZipLimits& limits,
                     std::unique_ptr<Inflater> inflater)
    : state_(std::make_unique<State>(handler, limits, std::move(inflater))) {}
ZipStream::~ZipStream() = default;

Status ZipStream::Push(ByteView bytes) { return state_->Push(bytes); }
Status ZipStream::Finish() { return state_->Finish(); }
uint64_t ZipStream::entries() const { return state_->entries_ended_; }

}  // namespace tciafs::zip
