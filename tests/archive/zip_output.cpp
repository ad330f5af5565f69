// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip_output.h"

#include <algorithm>
#include <utility>

namespace tciafs::archive {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kDescriptorSignature = 0x08074b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr uint16_t kVersionDeflate = 20;
constexpr uint16_t kVersionZip64 = 45;
constexpr uint16_t kFlags = 0x0808;  // data descriptor, UTF-8 names
constexpr uint16_t kMethodDeflate = 8;
constexpr uint16_t kDosTime = 0x6000;  // 12:00:00
constexpr uint16_t kDosDate = 0x5021;  // 2020-01-01
constexpr uint64_t kMax32 = 0xffffffff;
constexpr uint64_t kMax16 = 0xffff;

constexpr size_t kPieceBytes = 64 * 1024;  // handed to the sink at once
// Where flip_compressed hits: behind the first block header, and every image is longer than this.
constexpr uint64_t kFlippedOffset = 20;

template <typename Integer>
void Append(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof value; ++i)
    out += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xff);
}

uint32_t Clip32(uint64_t value) { return static_cast<uint32_t>(std::min(value, kMax32)); }
uint16_t Clip16(uint64_t value) { return static_cast<uint16_t>(std::min(value, kMax16)); }

}  // namespace

ZipOutput::ZipOutput(BodySink& sink, int level) : sink_(sink) {
  usable_ = deflateInit2(&deflate_, level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK;
}

ZipOutput::~ZipOutput() { deflateEnd(&deflate_); }

bool ZipOutput::BeginEntry(std::string name, EntryDamage damage) {
  damage_ = damage;
  Entry entry;
  entry.offset = offset();
  entry.crc = static_cast<uint32_t>(crc32(0, nullptr, 0));
  Append(pending_, kLocalSignature);
  Append(pending_, kVersionDeflate);
  Append(pending_, kFlags);
  Append(pending_, kMethodDeflate);
  Append(pending_, kDosTime);
  Append(pending_, kDosDate);
  Append(pending_, uint32_t{0});  // crc and both sizes follow in the data descriptor
  Append(pending_, uint32_t{0});
  Append(pending_, uint32_t{0});
  Append(pending_, Clip16(name.size()));
  Append(pending_, uint16_t{0});
  pending_ += name;
  entry.name = std::move(name);
  entries_.push_back(std::move(entry));
  usable_ = usable_ && deflateReset(&deflate_) == Z_OK;
  return usable_;
}

bool ZipOutput::Write(std::string_view bytes) {
  Entry& entry = entries_.back();
  entry.crc = static_cast<uint32_t>(
      crc32_z(entry.crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
  entry.size += bytes.size();
  constexpr size_t kInputMax = 1 << 30;  // avail_in has 32 bits
  while (usable_ && !bytes.empty()) {
    const size_t take = std::min(bytes.size(), kInputMax);
    Deflate(bytes.substr(0, take), Z_NO_FLUSH);
    bytes.remove_prefix(take);
  }
  return usable_;
}

bool ZipOutput::Deflate(std::string_view bytes, int flush) {
  Entry& entry = entries_.back();
  deflate_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  deflate_.avail_in = static_cast<uInt>(bytes.size());
  char buffer[16 * 1024];
  do {
    deflate_.next_out = reinterpret_cast<Bytef*>(buffer);
    deflate_.avail_out = sizeof buffer;
    deflate(&deflate_, flush);
    const size_t produced = sizeof buffer - deflate_.avail_out;
    if (damage_.flip_compressed && entry.compressed_size <= kFlippedOffset &&
        entry.compressed_size + produced > kFlippedOffset) {
      char& victim = buffer[kFlippedOffset - entry.compressed_size];
      victim = static_cast<char>(victim ^ 0x10);
    }
    entry.compressed_size += produced;
    pending_.append(buffer, produced);
    if (pending_.size() >= kPieceBytes && !Flush()) return false;
  } while (deflate_.avail_out == 0);
  return true;
}

bool ZipOutput::EndEntry() {
  if (!usable_ || !Deflate({}, Z_FINISH)) return false;
  Entry& entry = entries_.back();
  if (damage_.wrong_crc) entry.crc ^= 0x5a5a5a5a;
  const bool zip64 = entry.size >= kMax32 || entry.compressed_size >= kMax32;
  Append(pending_, kDescriptorSignature);
  Append(pending_, entry.crc);
  if (zip64) {
    Append(pending_, entry.compressed_size);
    Append(pending_, entry.size);
  } else {
    Append(pending_, static_cast<uint32_t>(entry.compressed_size));
    Append(pending_, static_cast<uint32_t>(entry.size));
  }
  return pending_.size() < kPieceBytes || Flush();
}

bool ZipOutput::AddEntry(std::string name, std::string_view bytes, EntryDamage damage) {
  return BeginEntry(std::move(name), damage) && Write(bytes) && EndEntry();
}

bool ZipOutput::Finish() {
  if (!usable_) return false;
  const uint64_t directory_offset = offset();
  for (const Entry& entry : entries_) {
    AppendCentralRecord(entry);
    if (pending_.size() >= kPieceBytes && !Flush()) return false;
  }
  AppendEndRecords(directory_offset, offset() - directory_offset);
  return Flush();
}

void ZipOutput::AppendCentralRecord(const Entry& entry) {
  std::string extra;
  if (entry.size >= kMax32) Append(extra, entry.size);
  if (entry.compressed_size >= kMax32) Append(extra, entry.compressed_size);
  if (entry.offset >= kMax32) Append(extra, entry.offset);
  const uint16_t version = extra.empty() ? kVersionDeflate : kVersionZip64;
  Append(pending_, kCentralSignature);
  Append(pending_, version);  // made by
  Append(pending_, version);  // needed
  Append(pending_, kFlags);
  Append(pending_, kMethodDeflate);
  Append(pending_, kDosTime);
  Append(pending_, kDosDate);
  Append(pending_, entry.crc);
  Append(pending_, Clip32(entry.compressed_size));
  Append(pending_, Clip32(entry.size));
  Append(pending_, Clip16(entry.name.size()));
  Append(pending_, static_cast<uint16_t>(extra.empty() ? 0 : extra.size() + 4));
  Append(pending_, uint16_t{0});  // comment
  Append(pending_, uint16_t{0});  // disk
  Append(pending_, uint16_t{0});  // internal attributes
  Append(pending_, uint32_t{0});  // external attributes
  Append(pending_, Clip32(entry.offset));
  pending_ += entry.name;
  if (extra.empty()) return;
  Append(pending_, uint16_t{1});  // the zip64 extra field
  Append(pending_, static_cast<uint16_t>(extra.size()));
  pending_ += extra;
}

void ZipOutput::AppendEndRecords(uint64_t directory_offset, uint64_t directory_size) {
  const uint64_t count = entries_.size();
  if (count >= kMax16 || directory_offset >= kMax32 || directory_size >= kMax32) {
    const uint64_t end64_offset = offset();
    Append(pending_, kEnd64Signature);
    Append(pending_, uint64_t{44});  // what follows in this record
    Append(pending_, kVersionZip64);
    Append(pending_, kVersionZip64);
    Append(pending_, uint32_t{0});
    Append(pending_, uint32_t{0});
    Append(pending_, count);
    Append(pending_, count);
    Append(pending_, directory_size);
    Append(pending_, directory_offset);
    Append(pending_, kLocator64Signature);
    Append(pending_, uint32_t{0});
    Append(pending_, end64_offset);
    Append(pending_, uint32_t{1});
  }
  Append(pending_, kEndSignature);
  Append(pending_, uint16_t{0});
  Append(pending_, uint16_t{0});
  Append(pending_, Clip16(count));
  Append(pending_, Clip16(count));
  Append(pending_, Clip32(directory_size));
  Append(pending_, Clip32(directory_offset));
  Append(pending_, uint16_t{0});
}

bool ZipOutput::Flush() {
  if (!usable_) return false;
  if (pending_.empty()) return true;
  usable_ = sink_.Write(pending_);
  flushed_bytes_ += pending_.size();
  pending_.clear();
  return usable_;
}

}  // namespace tciafs::archive
