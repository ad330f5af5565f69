// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/index_records.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "tciafs/cache/disk_cache.h"
#include "tciafs/util/hash.h"

namespace tciafs::cache {
namespace {

constexpr uint8_t kRecordVersion = 1;
constexpr uint8_t kPinned = 1;
constexpr uint8_t kVerified = 2;
constexpr uint8_t kUnsettled = 4;
constexpr uint8_t kPresent = 1;
constexpr uint8_t kHasMd5 = 2;
constexpr size_t kMd5Bytes = 16;
constexpr size_t kChecksumBytes = 8;

class Encoder {
 public:
  void U8(uint8_t value) { bytes_ += static_cast<char>(value); }
  void U64(uint64_t value) {  // little-endian, whatever the machine
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(value >> shift & 0xff);
  }
  void I64(int64_t value) { U64(static_cast<uint64_t>(value)); }
  void Raw(std::string_view bytes) { bytes_ += bytes; }
  void Text(std::string_view text) {
    U64(text.size());
    Raw(text);
  }
  std::string Sealed(std::string_view key) && {
    U64(Xxh3(AsBytes(bytes_), Xxh3(AsBytes(key))));
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
};

// Reads past the end give zeros and make ok() false.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : rest_(bytes) {}
  uint8_t U8() {
    const std::string_view byte = Raw(1);
    return byte.empty() ? uint8_t{0} : static_cast<uint8_t>(byte[0]);
  }
  uint64_t U64() {
    uint64_t value = 0;
    int shift = 0;
    for (const char byte : Raw(8)) {
      value |= uint64_t{static_cast<uint8_t>(byte)} << shift;
      shift += 8;
    }
    return value;
  }
  int64_t I64() { return static_cast<int64_t>(U64()); }
  std::string_view Raw(size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string Text(size_t size_max) {
    const uint64_t size = U64();
    if (size > size_max) {
      ok_ = false;
      return {};
    }
    return std::string(Raw(size));
  }
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// The record without its checksum, or nothing. The size is checked first: on a damaged page it
// could point anywhere.
std::optional<std::string_view> Unsealed(std::string_view key, std::string_view value,
                                         size_t size_max) {
  if (value.size() <= kChecksumBytes || value.size() > size_max) return std::nullopt;
  const std::string_view body = value.substr(0, value.size() - kChecksumBytes);
  Decoder checksum(value.substr(body.size()));
  if (checksum.U64() != Xxh3(AsBytes(body), Xxh3(AsBytes(key)))) return std::nullopt;
  return body;
}

std::string HexOf(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    hex += kDigits[static_cast<uint8_t>(byte) >> 4];
    hex += kDigits[static_cast<uint8_t>(byte) & 15];
  }
  return hex;
}

uint8_t HexDigit(char digit) {
  return static_cast<uint8_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

std::string BytesOf(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(HexDigit(hex[i]) << 4 | HexDigit(hex[i + 1]));
  return bytes;
}

uint8_t Flag(bool set, uint8_t flag) { return set ? flag : uint8_t{0}; }

}  // namespace

SeriesId SeriesIdOf(const SeriesKey& key) {
  const Hash128 hash = Xxh3Wide(AsBytes(key.series.text()), Xxh3(AsBytes(key.scope)));
  std::array<char, kSeriesIdBytes> bytes{};
  size_t at = 0;
  for (const uint64_t half : {hash.high, hash.low})
    for (int shift = 56; shift >= 0; shift -= 8)
      bytes[at++] = static_cast<char>(half >> shift & 0xff);
  return {bytes.data(), bytes.size()};
}

bool IsMd5Hex(std::string_view text) {
  return text.size() == 2 * kMd5Bytes && std::all_of(text.begin(), text.end(), [](char digit) {
           return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
         });
}

std::string InstanceKey(const SeriesId& series, const source::SopUid& sop) {
  return series + sop.text();
}

source::SopUid SopOfKey(std::string_view instance_key) {
  return source::SopUid(std::string(instance_key.substr(kSeriesIdBytes)));
}

std::string EncodeSeries(const SeriesEntry& entry) {
  Encoder out;
  out.U8(kRecordVersion);
  out.U8(static_cast<uint8_t>(Flag(entry.pinned, kPinned) | Flag(entry.verified, kVerified) |
                              Flag(entry.unsettled, kUnsettled)));
  out.Text(entry.key.scope);
  out.Text(entry.key.series.text());
  out.Text(entry.version.timestamp);
  for (const int64_t value : {entry.version.image_count, entry.version.total_bytes, entry.known,
                              entry.present, entry.disk_bytes, entry.last_use_ms})
    out.I64(value);
  return std::move(out).Sealed(SeriesIdOf(entry.key));
}

std::optional<SeriesEntry> DecodeSeries(std::string_view key, std::string_view value) {
  constexpr size_t kFixedBytes = 256;  // more than all that is not text
  const auto body =
      Unsealed(key, value, kScopeBytesMax + kUidBytesMax + kTimestampBytesMax + kFixedBytes);
  if (!body) return std::nullopt;
  Decoder in(*body);
  if (in.U8() != kRecordVersion) return std::nullopt;
  const uint8_t flags = in.U8();
  SeriesEntry entry;
  entry.pinned = (flags & kPinned) != 0;
  entry.verified = (flags & kVerified) != 0;
  entry.unsettled = (flags & kUnsettled) != 0;
  entry.key.scope = in.Text(kScopeBytesMax);
  entry.key.series = source::SeriesUid(in.Text(kUidBytesMax));
  entry.version.timestamp = in.Text(kTimestampBytesMax);
  for (int64_t* field : {&entry.version.image_count, &entry.version.total_bytes, &entry.known,
                         &entry.present, &entry.disk_bytes, &entry.last_use_ms})
    *field = in.I64();
  if (!in.AtEnd() || SeriesIdOf(entry.key) != key) return std::nullopt;
  if (entry.known < 0 || entry.present < 0 || entry.disk_bytes < 0) return std::nullopt;
  if (entry.last_use_ms >> 62 != 0) return std::nullopt;  // neither negative nor near its end
  return entry;
}

std::string EncodeInstance(std::string_view key, const InstanceEntry& entry) {
  Encoder out;
  out.U8(kRecordVersion);
  out.U8(
      static_cast<uint8_t>(Flag(entry.present, kPresent) | Flag(!entry.md5_hex.empty(), kHasMd5)));
  out.I64(entry.size_bytes);
  out.Raw(BytesOf(entry.md5_hex));
  for (const uint64_t checksum : entry.checksums) out.U64(checksum);
  return std::move(out).Sealed(key);
}

std::optional<InstanceEntry> DecodeInstance(std::string_view key, std::string_view value) {
  constexpr size_t kFixedBytes = 64;
  constexpr auto kChecksumsMax = static_cast<size_t>(BlockCount(kInstanceBytesMax));
  const auto body = Unsealed(key, value, kChecksumsMax * kChecksumBytes + kFixedBytes);
  if (!body) return std::nullopt;
  Decoder in(*body);
  if (in.U8() != kRecordVersion) return std::nullopt;
  const uint8_t flags = in.U8();
  InstanceEntry entry;
  entry.present = (flags & kPresent) != 0;
  entry.size_bytes = in.I64();
  if (entry.size_bytes < 0 || entry.size_bytes > kInstanceBytesMax) return std::nullopt;
  if ((flags & kHasMd5) != 0) entry.md5_hex = HexOf(in.Raw(kMd5Bytes));
  if (entry.present) {
    entry.checksums.resize(static_cast<size_t>(BlockCount(entry.size_bytes)));
    for (uint64_t& checksum : entry.checksums) checksum = in.U64();
  }
  if (!in.AtEnd()) return std::nullopt;
  return entry;
}

}  // namespace tciafs::cache
