// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/retry.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "http/limits.h"
#include "tciafs/util/text.h"

namespace tciafs::http {
namespace {

bool IsAllDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

bool IsRetryableStatus(int status, const RetryPolicy& policy) {
  return status == 429 || status == 502 || status == 503 || status == 504 ||
         (status == 500 && policy.retry_status_500);
}

std::optional<int64_t> ParseRetryAfterMs(std::string_view value, int64_t now_unix_ms) {
  value = TrimBlanks(value);
  if (IsAllDigits(value)) {
    int64_t seconds = 0;
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), seconds);
    if (parsed.ec != std::errc() || seconds > kRetryAfterMaxMs / 1000) return kRetryAfterMaxMs;
    return seconds * 1000;
  }
  const time_t date = curl_getdate(std::string(value).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::clamp<int64_t>(static_cast<int64_t>(date) * 1000 - now_unix_ms, 0, kRetryAfterMaxMs);
}

int64_t Backoff::DelayMs(const RetryPolicy& policy, int attempts) {
  const int64_t max_ms = std::max<int64_t>(policy.backoff_max_ms, 0);
  int64_t ceiling_ms = std::clamp<int64_t>(policy.backoff_first_ms, 0, max_ms);
  for (int i = 1; i < attempts && ceiling_ms > 0 && ceiling_ms < max_ms; ++i)
    ceiling_ms = ceiling_ms > max_ms / 2 ? max_ms : ceiling_ms * 2;
  return std::uniform_int_distribution<int64_t>(0, ceiling_ms)(random_);
}

}  // namespace tciafs::http
