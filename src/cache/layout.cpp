// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "tciafs/util/hash.h"

namespace tciafs::cache {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

std::string Hex(std::string_view bytes) {  // for every opening: no formatting
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    hex += kHexDigits[static_cast<uint8_t>(byte) >> 4];
    hex += kHexDigits[static_cast<uint8_t>(byte) & 15];
  }
  return hex;
}

bool IsHex(std::string_view text) {
  return text.find_first_not_of(kHexDigits) == std::string_view::npos;
}

bool IsDicomUid(std::string_view text) {
  return !text.empty() && text.size() <= kDicomUidBytesMax && text.front() != '.' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

std::string Layout::SeriesShelf(const SeriesId& series) const {
  return series_root() + "/" + Hex(std::string_view(series).substr(0, 1));
}

std::string Layout::SeriesDirectory(const SeriesId& series) const {
  return SeriesShelf(series) + "/" + Hex(series);
}

std::string InstanceFileName(const source::SopUid& sop) {
  if (IsDicomUid(sop.text())) return sop.text() + ".dcm";
  const Hash128 hash = Xxh3Wide(AsBytes(sop.text()));
  return fmt::format("x{:016x}{:016x}.dcm", hash.high, hash.low);
}

SeriesId SeriesIdOfName(std::string_view directory_name) {
  SeriesId id;
  if (directory_name.size() != 2 * kSeriesIdBytes) return {};
  for (size_t i = 0; i < directory_name.size(); i += 2) {
    const size_t high = kHexDigits.find(directory_name[i]);
    const size_t low = kHexDigits.find(directory_name[i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return {};
    id += static_cast<char>(high << 4 | low);
  }
  return id;
}

bool IsShelfName(std::string_view name) { return name.size() == 2 && IsHex(name); }

bool IsSeriesName(std::string_view shelf_name, std::string_view name) {
  return name.size() == 2 * kSeriesIdBytes && IsHex(name) && name.starts_with(shelf_name);
}

bool IsSeriesFileName(std::string_view name) {
  constexpr std::string_view kInstance = ".dcm";
  constexpr std::string_view kUnfinished = ".part";
  if (name == kJournalName) return true;
  if (name.ends_with(kInstance)) {
    name.remove_suffix(kInstance.size());
    return IsDicomUid(name) ||
           (name.size() == 1 + 2 * sizeof(Hash128) && name.front() == 'x' && IsHex(name.substr(1)));
  }
  if (!name.ends_with(kUnfinished)) return false;
  name.remove_suffix(kUnfinished.size());
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace tciafs::cache
