// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/md5_list.h"

#include <fmt/core.h>

#include <algorithm>

#include "nbia/limits.h"
#include "tciafs/util/text.h"

namespace tciafs::nbia {

Status Md5List::Append(std::string_view text, size_t instances) {
  // It comes last, and has a line for each.
  const size_t bytes_max =
      instances == 0
          ? kMd5ListBytesMax
          : std::min(kMd5ListBytesMax, (instances + kMd5LinesBesideMax) * kMd5LineBytesMax);
  if (text_.size() + text.size() > bytes_max)
    return Fail(Errc::kCorrupt, fmt::format("a list of MD5 sums over {} bytes", bytes_max));
  text_ += text;
  return {};
}

std::unordered_map<std::string, std::string> Md5List::Parse() const {
  std::unordered_map<std::string, std::string> sums;
  for (const auto line : SplitText(text_, '\n')) {
    const auto comma = line.rfind(',');  // the sum holds none, a name may
    if (comma == std::string_view::npos) continue;
    std::string sum = CanonicalMd5(line.substr(comma + 1));
    if (sum.empty()) continue;
    const auto [entry, added] =
        sums.emplace(std::string(TrimBlanks(line.substr(0, comma))), std::move(sum));
    if (!added && entry->second != CanonicalMd5(line.substr(comma + 1))) entry->second.clear();
  }
  std::erase_if(sums, [](const auto& entry) { return entry.second.empty(); });
  return sums;
}

std::string CanonicalMd5(std::string_view text) {
  text = TrimBlanks(text);
  if (text.size() != 32) return {};
  std::string sum;
  for (char c : text) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) return {};
    sum += c;
  }
  return sum;
}

}  // namespace tciafs::nbia
