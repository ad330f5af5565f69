// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/url.h"

#include <curl/curl.h>

#include <memory>

#include "tciafs/util/text.h"

namespace tciafs::http {
namespace {

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlDeleter>;

std::string Part(CURLU* url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string copy = text;
  curl_free(text);
  return copy;
}

}  // namespace

Result<Origin> ParseOrigin(const std::string& url) {
  const UrlHandle parsed(curl_url());
  // A NUL would hide the rest of the URL from curl.
  if (!parsed || url.find('\0') != std::string::npos ||
      curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
    return Fail(Errc::kInvalidArgument, "not a valid URL");
  Origin origin;
  origin.scheme = LowerCase(Part(parsed.get(), CURLUPART_SCHEME, 0));
  origin.host = LowerCase(Part(parsed.get(), CURLUPART_HOST, 0));
  origin.port = Part(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if ((origin.scheme != "http" && origin.scheme != "https") || origin.host.empty())
    return Fail(Errc::kInvalidArgument, "not an http or https URL");
  return origin;
}

Result<std::string> ResolveUrl(const std::string& base_url, const std::string& location) {
  const UrlHandle url(curl_url());
  if (!url || curl_url_set(url.get(), CURLUPART_URL, base_url.c_str(), 0) != CURLUE_OK ||
      curl_url_set(url.get(), CURLUPART_URL, location.c_str(),
                   CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE) != CURLUE_OK)
    return Fail(Errc::kUnavailable, "redirected to a malformed address");
  std::string resolved = Part(url.get(), CURLUPART_URL, 0);
  if (resolved.empty()) return Fail(Errc::kUnavailable, "redirected to a malformed address");
  return resolved;
}

std::string HostForMessages(const std::string& url) {
  auto origin = ParseOrigin(url);
  return origin ? origin->host : "the server";
}

}  // namespace tciafs::http
