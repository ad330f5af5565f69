// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A state machine over records. What is awkward in a zip read front to back, and where it is dealt
// with:
// - records may be cut anywhere: Gather collects them in `record_`; payload is never collected;
// - DEFLATE alone knows where it ends, and the inflater may have taken bytes beyond: TakePayload
//   puts these at the front of `record_`;
// - the data descriptor comes in four layouts: data_descriptor.h, TakeDescriptor;
// - whether the zip is whole is known from its very end only: directory_tally.h, Finish.
#include "tciafs/zip/zip_stream.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "zip/data_descriptor.h"
#include "zip/directory_tally.h"
#include "zip/entry_payload.h"
#include "zip/inflater.h"
#include "zip/zip_records.h"

namespace tciafs::zip {
struct ZipStream::State {
  enum class Phase {
    kSignature,
    kLocalHeader,
    kLocalVariable,
    kPayload,
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

  State(ZipHandler& handler, const ZipLimits& limits, std::unique_ptr<Inflater> inflater)
      : limits_(limits), payload_(handler, limits, std::move(inflater)) {}

  Status Push(ByteView bytes);
  Status Finish();

  // One step. True: go on; false: more input is needed (or the zip is over).
  Result<bool> Advance(ByteView& in);
  bool Gather(ByteView& in, size_t size_bytes);
  void Await(Phase phase, size_t size_bytes);
  size_t DropGathered(uint64_t size_bytes);
  void NextRecord();
  void SkipThen(Phase phase, uint64_t size_bytes);
  Result<bool> Skip(ByteView& in);

  Result<bool> BeginRecord();
  Result<bool> TakeLocalHeader();
  Result<bool> BeginEntry();
  Result<bool> TakePayload(ByteView& in);
  Result<bool> TakeDescriptor();
  Result<bool> CheckAfterEmpty();
  Result<bool> EndEntry();

  Result<bool> TakeArchiveExtra();
  Result<bool> TakeCentralHeader();
  Result<bool> TakeDigitalSignature();
  Result<bool> TakeZip64End();
  Result<bool> TakeZip64Locator();
  Result<bool> TakeEnd();

  const ZipLimits limits_;
  EntryPayload payload_;

  Phase phase_ = Phase::kSignature;
  std::optional<Error> failure_;
  uint64_t taken_bytes_ = 0;       // of the zip, those in record_ included
  std::vector<std::byte> record_;  // the record being gathered, sometimes a few bytes beyond it
  size_t awaited_bytes_ = kSignatureBytes;
  uint64_t skip_bytes_ = 0;
  Phase after_skip_ = Phase::kSignature;
  DirectoryTally tally_;
  uint64_t entries_ended_ = 0;
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
  const bool is_in_entry = phase_ == Phase::kPayload || phase_ == Phase::kDescriptor;
  const std::string where =
      is_in_entry ? payload_.Label() + ": the zip ends inside it"
                  : fmt::format("zip: no end record after {} entries", entries_ended_);
  failure_ = Error{Errc::kCorrupt, fmt::format("{}, after {} bytes", where, taken_bytes_)};
  return Fail(*failure_);
}

Result<bool> ZipStream::State::Advance(ByteView& in) {
  switch (phase_) {
    case Phase::kPayload:
      return TakePayload(in);
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
      return CheckAfterEmpty();
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
    case Phase::kPayload:
    case Phase::kSkip:
    case Phase::kDone:
      break;
  }
  return Fail(Errc::kInternal, "zip: no such phase");
}

// ---- records ----

bool ZipStream::State::Gather(ByteView& in, size_t size_bytes) {
  if (record_.size() < size_bytes) {
    const ByteView piece = in.first(std::min(in.size(), size_bytes - record_.size()));
    record_.insert(record_.end(), piece.begin(), piece.end());
    in = in.subspan(piece.size());
    taken_bytes_ += piece.size();
  }
  return record_.size() >= size_bytes;
}

void ZipStream::State::Await(Phase phase, size_t size_bytes) {
  phase_ = phase;
  awaited_bytes_ = size_bytes;
}

// Returns how much was there to drop.
size_t ZipStream::State::DropGathered(uint64_t size_bytes) {
  const auto count = std::min<uint64_t>(size_bytes, record_.size());
  record_.erase(record_.begin(), record_.begin() + static_cast<ptrdiff_t>(count));
  return static_cast<size_t>(count);
}

// Leaves behind what was awaited; what was gathered beyond it stays for the next record.
void ZipStream::State::NextRecord() {
  DropGathered(awaited_bytes_);
  Await(Phase::kSignature, kSignatureBytes);
}

void ZipStream::State::SkipThen(Phase phase, uint64_t size_bytes) {
  NextRecord();
  phase_ = Phase::kSkip;
  skip_bytes_ = size_bytes;
  after_skip_ = phase;
}

Result<bool> ZipStream::State::Skip(ByteView& in) {
  skip_bytes_ -= DropGathered(skip_bytes_);
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
  TCIAFS_TRY(payload_.Begin(ParseLocalHeader(record_), tally_.entries()));
  // A local header is longer than anything gathered ahead, so nothing stays in record_.
  NextRecord();
  phase_ = Phase::kPayload;
  return true;
}

Result<bool> ZipStream::State::TakePayload(ByteView& in) {
  const size_t offered_bytes = in.size();
  Result<bool> ended = payload_.Take(in);
  taken_bytes_ += offered_bytes - in.size();
  if (!ended || !*ended) return ended;

  const ByteView unread = payload_.Unread();
  record_.assign(unread.begin(), unread.end());
  if (payload_.header().SizesFollow()) {
    Await(Phase::kDescriptor, kDescriptorBytesMin);
    return true;
  }
  if (payload_.crc32() != payload_.header().crc32) return payload_.Damaged("its CRC is wrong");
  if (payload_.size_bytes() == 0) {
    Await(Phase::kAfterEmpty, kSignatureBytes);
    return true;
  }
  awaited_bytes_ = 0;
  return EndEntry();
}

// No checksum speaks for an entry that is empty only because its header says so: one bit of damage
// makes it of an entry whose sizes were to follow. What comes next tells.
Result<bool> ZipStream::State::CheckAfterEmpty() {
  if (!IsSignature(Load32(record_, 0)))
    return payload_.Damaged("is empty by its header, but something follows it");
  awaited_bytes_ = 0;
  return EndEntry();
}

Result<bool> ZipStream::State::TakeDescriptor() {
  const DescriptorMatch match = MatchDescriptor(record_, payload_.crc32(),
                                                payload_.compressed_bytes(), payload_.size_bytes());
  switch (match.kind) {
    case DescriptorMatch::Kind::kNone:
      return payload_.Damaged("its CRC or its size is not what the archive says");
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
  TCIAFS_TRY(payload_.End());
  ++entries_ended_;
  return true;
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
