// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/entry_label.h"

#include <fmt/core.h>

namespace tciafs::zip {
namespace {

constexpr size_t kShownBytesMax = 100;  // enough to recognise it, too little to flood a log

}  // namespace

std::string EntryLabel(uint64_t number, std::string_view name) {
  std::string shown;
  for (const char c : name.substr(0, kShownBytesMax)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (name.size() > kShownBytesMax) shown += "...";
  return fmt::format("entry {} '{}'", number, shown);
}

}  // namespace tciafs::zip
