// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/head_parser.h"

#include <charconv>
#include <string>
#include <utility>

#include "tciafs/util/text.h"

namespace tciafs::http {
namespace {

// Blanks before the line end make it the continuation of a field (RFC 9112 section 5.2).
bool IsEnd(std::string_view line) { return line == "\r\n" || line == "\n"; }

}  // namespace

HeadParser::Progress HeadParser::OnLine(std::string_view line) {
  size_bytes_ += line.size();
  if (size_bytes_ > kHeaderBytesMax) return Progress::kTooLarge;
  if (complete_) return Progress::kMore;
  // Only where one is due: a field may begin so too.
  if (expects_status_line_) {
    expects_status_line_ = line.empty() || IsEnd(line);
    if (!expects_status_line_) ParseStatusLine(line);
    return Progress::kMore;
  }
  if (!IsEnd(line)) {
    ParseField(line);
    return Progress::kMore;
  }
  if (head_.status < 200) {
    expects_status_line_ = true;
    return Progress::kMore;
  }
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
    const auto more = TrimBlanks(line);
    if (head_.headers.empty() || more.empty()) return;
    std::string& value = head_.headers.back().second;
    value.append(value.empty() ? "" : " ").append(more);
    return;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  head_.headers.emplace_back(LowerCase(std::string(TrimBlanks(line.substr(0, colon)))),
                             TrimBlanks(line.substr(colon + 1)));
}

}  // namespace tciafs::http
