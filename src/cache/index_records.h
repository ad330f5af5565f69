// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The records of the index and their bytes (man/tciafs-cache.5). Every record ends in a checksum
// over its key and itself; decoding gives nothing for a record that is not intact, is of a version
// we do not know, or stands under a key that is not its own. Plain data and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/cache/limits.h"

namespace tciafs::cache {

// 16 bytes that stand for scope and series in keys and directory names. Hashes may collide, so the
// record repeats both and a reader compares them.
using SeriesId = std::string;
inline constexpr size_t kSeriesIdBytes = 16;
SeriesId SeriesIdOf(const SeriesKey& key);

struct SeriesEntry {
  SeriesKey key;
  source::SeriesVersion version;
  bool pinned = false;
  bool verified = false;
  bool unsettled = false;  // its directory may hold files the index does not know
  int64_t known = 0;       // instances with a record
  int64_t present = 0;     // of these, with bytes
  int64_t disk_bytes = 0;  // of the directory and all in it
  int64_t last_use_ms = 0;
};

struct InstanceEntry {
  bool present = false;
  int64_t size_bytes = 0;
  std::string md5_hex;              // or ""
  std::vector<uint64_t> checksums;  // of each block; none unless present
};

bool IsMd5Hex(std::string_view text);

std::string InstanceKey(const SeriesId& series, const source::SopUid& sop);
source::SopUid SopOfKey(std::string_view instance_key);

std::string EncodeSeries(const SeriesEntry& entry);
std::optional<SeriesEntry> DecodeSeries(std::string_view key, std::string_view value);
std::string EncodeInstance(std::string_view key, const InstanceEntry& entry);
std::optional<InstanceEntry> DecodeInstance(std::string_view key, std::string_view value);

}  // namespace tciafs::cache
