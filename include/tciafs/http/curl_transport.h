// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The Transport over libcurl: one curl_multi loop on one thread, keep-alive, TLS verified, proxies
// from the options or the environment (NO_PROXY honoured). Metadata comes compressed and over
// HTTP/2 where the server offers it; downloads come as they are over HTTP/1.1, one connection each,
// so that a paused one waits in the server and not in memory. Redirects are followed within the
// same scheme, host and port only, so that no token travels elsewhere. A body shorter than its
// framing says is an error; a gzip stream that ends early within a whole answer passes unnoticed.
// Thread-safe. The destructor cancels what is in flight (OnDone with kCancelled) and joins the
// loop; it must not run in a handler. Transfer handles may outlive the transport.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tciafs/http/transport.h"
#include "tciafs/util/clock.h"

namespace tciafs::http {

struct CurlOptions {
  std::string user_agent;
  std::string proxy;             // empty: from the environment
  std::string ca_file;           // empty: the system's
  int downloads_max = 2;         // per host, lane kDownload; one less than connections_max at most
  int connections_max = 8;       // per host, both lanes
  bool offline = false;          // every Start ends at once with kOffline
  const Clock* clock = nullptr;  // required; outlives the transport
  uint64_t random_seed = 0;      // of the jitter between attempts; 0: from the system
};

Result<std::unique_ptr<Transport>> CreateCurlTransport(const CurlOptions& options);

// "libcurl/7.88.1 ..." for --version.
std::string CurlVersion();

}  // namespace tciafs::http
