// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/head_parser.h"

#include <cctype>
#include <charconv>
#include <string>
#include <utility>

#include "tciafs/util/text.h"

namespace tciafs::http {

HeadParser::Progress HeadParser::OnLine(std::string_view line) {
  size_bytes_ += line.size();
  if (size_bytes_ > kHeaderBytesMax) return Progress::kTooLarge;
  if (complete_) return Progress::kMore;
  if (line.starts_with("HTTP/")) {
    ParseStatusLine(line);
    return Progress::kMore;
  }
  if (!TrimBlanks(line).empty()) {
    ParseField(line);
    return Progress::kMore;
  }
  if (head_.status < 200) return Progress::kMore;
  complete_ = true;
  return Progress::kComplete;
}

void HeadParser::ParseStatusLine(std::string_view line) {
  head_ = {};
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return;
  const auto rest = TrimBlanks(line.substr(blank));
  std::from_chars(rest.data(), rest.data() + rest.size(), head_.status);
}

void HeadParser::ParseField(std::string_view line) {
  const bool folded = line.front() == ' ' || line.front() == '\t';
  if (folded) {
    if (!head_.headers.empty()) head_.headers.back().second += " " + std::string(TrimBlanks(line));
    return;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  std::string name(TrimBlanks(line.substr(0, colon)));
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  head_.headers.emplace_back(std::move(name), TrimBlanks(line.substr(colon + 1)));
}

}  // namespace tciafs::http
