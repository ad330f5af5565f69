// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The few questions the transport asks of a URL: which server it names, and where a redirect leads
// (RFC 3986 section 5). Pure functions. Messages never quote the URL, whose query may be private.
#pragma once

#include <string>

#include "tciafs/util/result.h"

namespace tciafs::http {

// What a connection is made to. Host and scheme are in lower case, the port is always explicit.
struct Origin {
  std::string scheme;
  std::string host;
  std::string port;

  std::string Key() const { return scheme + "://" + host + ":" + port; }
  friend bool operator==(const Origin&, const Origin&) = default;
};

// kInvalidArgument unless it is an absolute http or https URL.
Result<Origin> ParseOrigin(const std::string& url);

// The absolute URL a Location header names, seen from `base_url`.
Result<std::string> ResolveUrl(const std::string& base_url, const std::string& location);

// The host for a message about a request: "the server" where the URL has none.
std::string HostForMessages(const std::string& url);

}  // namespace tciafs::http
