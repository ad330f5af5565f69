// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The Transport over libcurl: one curl_multi loop on one thread, keep-alive, HTTP/2 where the
// server offers it, gzip, TLS verified, proxies from the options or the environment (NO_PROXY
// honoured). Redirects are followed on the same host only, so that no token travels elsewhere.
// Thread-safe. The destructor cancels what is in flight (OnDone with kCancelled) and joins the
// loop.
#pragma once

#include <memory>
#include <string>

#include "tciafs/http/transport.h"
#include "tciafs/util/clock.h"

namespace tciafs::http {

struct CurlOptions {
  std::string user_agent;
  std::string proxy;             // empty: from the environment
  std::string ca_file;           // empty: the system's
  int downloads_max = 2;         // per host, lane kDownload
  int connections_max = 8;       // per host, both lanes
  bool offline = false;          // every Start ends at once with kOffline
  const Clock* clock = nullptr;  // required; outlives the transport
};

Result<std::unique_ptr<Transport>> CreateCurlTransport(const CurlOptions& options);

// "libcurl/7.88.1 ..." for --version.
std::string CurlVersion();

}  // namespace tciafs::http
