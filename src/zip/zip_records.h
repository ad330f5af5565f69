// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The records of a zip file as they lie in it: signatures, fixed sizes, and the fields a stream
// needs of each. All numbers are little-endian. Source: PKWARE APPNOTE.TXT 6.3.9, section 4.3.
//
// Pure functions over whole records: the caller has gathered as many bytes as the size named beside
// each asks for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tciafs/util/bytes.h"

namespace tciafs::zip {

inline constexpr uint32_t kLocalHeaderSignature = 0x04034b50;
inline constexpr uint32_t kDescriptorSignature = 0x08074b50;
inline constexpr uint32_t kArchiveExtraSignature = 0x08064b50;
inline constexpr uint32_t kCentralHeaderSignature = 0x02014b50;
inline constexpr uint32_t kDigitalSignatureSignature = 0x05054b50;
inline constexpr uint32_t kZip64EndSignature = 0x06064b50;
inline constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
inline constexpr uint32_t kEndSignature = 0x06054b50;

// Whether a record can begin with it; the descriptor belongs to its entry and is none.
bool IsSignature(uint32_t word);

// Sizes of the fixed parts, signature included.
inline constexpr size_t kSignatureBytes = 4;
inline constexpr size_t kLocalHeaderBytes = 30;
inline constexpr size_t kArchiveExtraBytes = 8;
inline constexpr size_t kCentralHeaderBytes = 46;
inline constexpr size_t kDigitalSignatureBytes = 6;
inline constexpr size_t kZip64EndBytes = 56;
inline constexpr size_t kZip64LocatorBytes = 20;
inline constexpr size_t kEndBytes = 22;

inline constexpr uint16_t kMethodStored = 0;
inline constexpr uint16_t kMethodDeflated = 8;

inline constexpr uint16_t kFlagEncrypted = 1 << 0 | 1 << 6 | 1 << 13;  // classic, strong, masked
inline constexpr uint16_t kFlagSizesFollow = 1 << 3;
inline constexpr uint16_t kFlagPatched = 1 << 5;

// "See the zip64 field": in place of a value that does not fit.
inline constexpr uint16_t kSaturated16 = 0xffff;
inline constexpr uint32_t kSaturated32 = 0xffffffff;

uint16_t Load16(ByteView bytes, size_t at);
uint32_t Load32(ByteView bytes, size_t at);
uint64_t Load64(ByteView bytes, size_t at);

struct LocalHeader {
  uint16_t flags = 0;
  uint16_t method = 0;
  uint32_t crc32 = 0;
  uint64_t compressed_bytes = 0;  // from the zip64 extra field where the header says so
  uint64_t size_bytes = 0;
  std::string name;  // raw

  bool SizesFollow() const { return (flags & kFlagSizesFollow) != 0; }
};

inline size_t LocalNameBytes(ByteView fixed) { return Load16(fixed, 26); }
inline size_t LocalExtraBytes(ByteView fixed) { return Load16(fixed, 28); }
// `record`: the fixed part, the name and the extra field. An extra field that does not parse is
// ignored from there on: archives pad them with anything.
LocalHeader ParseLocalHeader(ByteView record);

// What follows the fixed part of a central directory header: name, extra field, comment.
size_t CentralVariableBytes(ByteView fixed);

// Both kinds of end record; of the older kind each number may be saturated.
struct EndRecord {
  uint64_t disks_before = 0;  // number of this disk, and of the one where the directory begins
  uint64_t directory_disk = 0;
  uint64_t entries = 0;
  uint64_t directory_bytes = 0;
  uint64_t directory_offset = 0;
  uint64_t variable_bytes = 0;  // comment, or the zip64 extensible data
};
EndRecord ParseEnd(ByteView fixed);
EndRecord ParseZip64End(ByteView fixed);

}  // namespace tciafs::zip
