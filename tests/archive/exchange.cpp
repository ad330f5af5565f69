// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "exchange.h"

#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string DecodeForm(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      decoded += ' ';
    } else if (text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
               HexDigit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

}  // namespace

std::optional<std::string> Request::Parameter(const std::string& name) const {
  if (const auto found = query.find(name); found != query.end()) return found->second;
  if (const auto found = form.find(name); found != form.end()) return found->second;
  return std::nullopt;
}

std::multimap<std::string, std::string> ParseForm(std::string_view text) {
  std::multimap<std::string, std::string> fields;
  for (const std::string_view pair : SplitText(text, '&')) {
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    fields.emplace(DecodeForm(pair.substr(0, equals)),
                   equals == std::string_view::npos ? "" : DecodeForm(pair.substr(equals + 1)));
  }
  return fields;
}

}  // namespace tciafs::archive
