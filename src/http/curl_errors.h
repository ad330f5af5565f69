// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The one place where curl's vocabulary of failures becomes ours. Pure functions.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <string>

#include "tciafs/util/result.h"

namespace tciafs::http {

// How an exchange ended short of a whole answer, as curl tells it.
struct CurlOutcome {
  CURLcode code = CURLE_OK;
  std::string detail;          // curl's own words; may be empty
  int os_error = 0;            // errno of the failed connect, 0 if unknown
  int proxy_status = 0;        // the proxy's answer to CONNECT, 0 without one
  bool head_complete = false;  // the server had begun to answer
  int64_t body_bytes = 0;      // delivered before it ended
  int64_t connect_timeout_ms = 0;
  std::string host;
};

struct ExchangeFailure {
  Error error;
  bool retryable = false;
};

ExchangeFailure ToFailure(const CurlOutcome& outcome);

}  // namespace tciafs::http
