// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>
#include <system_error>

#include "tciafs/util/limits.h"

namespace tciafs {
namespace {

struct NumberAndUnit {
  double number = 0;
  std::string unit;  // lower case
};

Result<NumberAndUnit> SplitUnit(std::string_view text, std::string_view what) {
  text = TrimBlanks(text);
  NumberAndUnit parts;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), parts.number,
                                             std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(parts.number) || parts.number < 0)
    return Fail(Errc::kInvalidArgument, fmt::format("'{}' is not a {}", text, what));
  const auto unit = TrimBlanks({rest, static_cast<size_t>(text.data() + text.size() - rest)});
  for (const char c : unit)
    parts.unit += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return parts;
}

Result<int64_t> Scaled(double number, double factor, int64_t max, std::string_view text) {
  const double value = number * factor;
  if (value > static_cast<double>(max))
    return Fail(Errc::kInvalidArgument, fmt::format("'{}' is too large", text));
  return static_cast<int64_t>(value);
}

}  // namespace

Result<int64_t> ParseSizeBytes(std::string_view text) {
  TCIAFS_ASSIGN(const NumberAndUnit parts, SplitUnit(text, "size such as 512M or 50G"));
  std::string unit = parts.unit;
  if (unit.ends_with("ib"))
    unit.resize(unit.size() - 2);
  else if (unit.ends_with("b"))
    unit.resize(unit.size() - 1);
  constexpr std::string_view kUnits = "kmgtp";
  double factor = 1;
  if (!unit.empty()) {
    const auto power = unit.size() == 1 ? kUnits.find(unit[0]) : std::string_view::npos;
    if (power == std::string_view::npos)
      return Fail(Errc::kInvalidArgument,
                  fmt::format("'{}' is not a size such as 512M or 50G", text));
    factor = std::pow(1024.0, static_cast<double>(power + 1));
  }
  return Scaled(parts.number, factor, kSizeBytesMax, text);
}

Result<int64_t> ParseDurationMs(std::string_view text) {
  TCIAFS_ASSIGN(const NumberAndUnit parts, SplitUnit(text, "duration such as 30s or 6h"));
  double factor = 0;
  if (parts.unit == "ms")
    factor = 1;
  else if (parts.unit.empty() || parts.unit == "s")
    factor = 1e3;
  else if (parts.unit == "m")
    factor = 60e3;
  else if (parts.unit == "h")
    factor = 3600e3;
  else if (parts.unit == "d")
    factor = 86400e3;
  else
    return Fail(Errc::kInvalidArgument,
                fmt::format("'{}' is not a duration such as 30s or 6h", text));
  return Scaled(parts.number, factor, kDurationMaxMs, text);
}

std::string FormatSize(int64_t size_bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(size_bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", size_bytes)
                   : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string_view TrimBlanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> SplitText(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

std::string LowerCase(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string UrlEncode(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain)
      encoded += c;
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string SystemErrorText(int error_number) {
  return std::system_category().message(error_number);
}

}  // namespace tciafs
