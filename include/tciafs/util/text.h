// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Small conversions between text and values that several layers need. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/util/result.h"

namespace tciafs {

// "512", "64K", "50G", "1.5T": powers of 1024; a trailing B or iB is allowed. kInvalidArgument for
// anything else and beyond kSizeBytesMax (util/limits.h).
Result<int64_t> ParseSizeBytes(std::string_view text);
// "30s", "10m", "6h", "7d", "250ms"; a bare number means seconds. At most kDurationMaxMs.
Result<int64_t> ParseDurationMs(std::string_view text);
std::string FormatSize(int64_t size_bytes);  // "1.5 GiB"

std::string_view TrimBlanks(std::string_view text);
std::vector<std::string_view> SplitText(std::string_view text, char separator);
bool EqualsIgnoringCase(std::string_view a, std::string_view b);
std::string LowerCase(std::string text);  // of ASCII letters

// Percent-encodes for one path segment or query value of a URL (RFC 3986 unreserved stay).
std::string UrlEncode(std::string_view text);

// strerror that is thread-safe.
std::string SystemErrorText(int error_number);

}  // namespace tciafs
