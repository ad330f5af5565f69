// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

constexpr std::string_view kHexDigits = "0123456789ABCDEF";

// What a name may not hold, or what would make two ids share one.
bool NeedsEscape(char c, bool first) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f || c == '/' || c == '%' || (first && c == '.');
}

}  // namespace

std::string EncodeName(std::string_view id) {
  std::string name;
  name.reserve(id.size());
  for (size_t i = 0; i < id.size(); ++i) {
    if (!NeedsEscape(id[i], i == 0)) {
      name += id[i];
      continue;
    }
    const auto byte = static_cast<unsigned char>(id[i]);
    name += '%';
    name += kHexDigits[byte >> 4];
    name += kHexDigits[byte & 15];
  }
  return name;
}

std::optional<std::string> DecodeName(std::string_view name) {
  if (name.empty()) return std::nullopt;
  if (name.find('%') == std::string_view::npos) {  // nearly all are the ids themselves
    if (NeedsEscape(name.front(), true)) return std::nullopt;
    for (const char c : name)
      if (NeedsEscape(c, false)) return std::nullopt;
    return std::string(name);
  }
  std::string id;
  id.reserve(name.size());
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] != '%') {
      if (NeedsEscape(name[i], i == 0)) return std::nullopt;
      id += name[i];
      continue;
    }
    if (name.size() - i < 3) return std::nullopt;
    const size_t high = kHexDigits.find(name[i + 1]);
    const size_t low = kHexDigits.find(name[i + 2]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    const char c = static_cast<char>(high << 4 | low);
    if (!NeedsEscape(c, i == 0)) return std::nullopt;
    id += c;
    i += 2;
  }
  return id;
}

std::string InstanceName(std::string_view sop_uid) {
  return EncodeName(sop_uid).append(kInstanceSuffix);
}

std::optional<std::string> DecodeInstanceName(std::string_view name) {
  if (!name.ends_with(kInstanceSuffix)) return std::nullopt;
  return DecodeName(name.substr(0, name.size() - kInstanceSuffix.size()));
}

}  // namespace tciafs::catalog
