// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/zip_records.h"

#include <limits>

namespace tciafs::zip {
namespace {

constexpr uint16_t kZip64ExtraId = 0x0001;

template <typename Number>
Number Load(ByteView bytes, size_t at) {
  Number value = 0;
  for (size_t i = 0; i < sizeof(Number); ++i)
    value = static_cast<Number>(value | static_cast<Number>(bytes[at + i]) << (8 * i));
  return value;
}

// The extra field with this id, or an empty view.
ByteView FindExtra(ByteView extra, uint16_t id) {
  while (extra.size() >= 4) {
    const size_t size = Load16(extra, 2);
    if (size > extra.size() - 4) break;
    if (Load16(extra, 0) == id) return extra.subspan(4, size);
    extra = extra.subspan(4 + size);
  }
  return {};
}

}  // namespace

uint16_t Load16(ByteView bytes, size_t at) { return Load<uint16_t>(bytes, at); }
uint32_t Load32(ByteView bytes, size_t at) { return Load<uint32_t>(bytes, at); }
uint64_t Load64(ByteView bytes, size_t at) { return Load<uint64_t>(bytes, at); }

bool IsSignature(uint32_t word) {
  switch (word) {
    case kLocalHeaderSignature:
    case kArchiveExtraSignature:
    case kCentralHeaderSignature:
    case kDigitalSignatureSignature:
    case kZip64EndSignature:
    case kZip64LocatorSignature:
    case kEndSignature:
      return true;
    default:
      return false;
  }
}

LocalHeader ParseLocalHeader(ByteView record) {
  LocalHeader header;
  header.flags = Load16(record, 6);
  header.method = Load16(record, 8);
  header.crc32 = Load32(record, 14);
  header.compressed_bytes = Load32(record, 18);
  header.size_bytes = Load32(record, 22);
  header.name = AsText(record.subspan(kLocalHeaderBytes, LocalNameBytes(record)));

  // The field holds, in this order, only those of the two that are saturated in the header.
  ByteView wide =
      FindExtra(record.subspan(kLocalHeaderBytes + LocalNameBytes(record)), kZip64ExtraId);
  for (uint64_t* number : {&header.size_bytes, &header.compressed_bytes}) {
    if (*number != kSaturated32 || wide.size() < sizeof(uint64_t)) continue;
    *number = Load64(wide, 0);
    wide = wide.subspan(sizeof(uint64_t));
  }
  return header;
}

size_t CentralVariableBytes(ByteView fixed) {
  return size_t{Load16(fixed, 28)} + Load16(fixed, 30) + Load16(fixed, 32);
}

EndRecord ParseEnd(ByteView fixed) {
  EndRecord end;
  end.disks_before = Load16(fixed, 4);
  end.directory_disk = Load16(fixed, 6);
  end.entries = Load16(fixed, 10);
  end.directory_bytes = Load32(fixed, 12);
  end.directory_offset = Load32(fixed, 16);
  end.variable_bytes = Load16(fixed, 20);
  return end;
}

EndRecord ParseZip64End(ByteView fixed) {
  constexpr size_t kBytesBeforeCounted = 12;  // signature and the size field itself
  EndRecord end;
  const uint64_t counted_bytes = Load64(fixed, 4);
  end.disks_before = Load32(fixed, 16);
  end.directory_disk = Load32(fixed, 20);
  end.entries = Load64(fixed, 32);
  end.directory_bytes = Load64(fixed, 40);
  end.directory_offset = Load64(fixed, 48);
  constexpr uint64_t kCountedMin = kZip64EndBytes - kBytesBeforeCounted;
  end.variable_bytes = counted_bytes >= kCountedMin ? counted_bytes - kCountedMin
                                                    : std::numeric_limits<uint64_t>::max();
  return end;
}

}  // namespace tciafs::zip
