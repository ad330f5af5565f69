// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// When to try again: which statuses are worth it, how long to wait (exponential backoff with full
// jitter, so that many clients do not come back at the same moment), and what the server asks for
// (Retry-After, RFC 9110 section 10.2.3). Times in milliseconds. Backoff is not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

#include "tciafs/http/transport.h"

namespace tciafs::http {

bool IsRetryableStatus(int status, const RetryPolicy& policy);

// The wait a Retry-After value asks for, as seconds or as an HTTP date; nothing if it is neither.
std::optional<int64_t> ParseRetryAfterMs(std::string_view value, int64_t now_unix_ms);

class Backoff {
 public:
  explicit Backoff(uint64_t seed) : random_(seed) {}
  // The wait after `attempts` attempts have failed: anything from 0 to the current ceiling.
  int64_t DelayMs(const RetryPolicy& policy, int attempts);

 private:
  std::mt19937_64 random_;
};

}  // namespace tciafs::http
