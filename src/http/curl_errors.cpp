// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/curl_errors.h"

#include <fmt/core.h>

#include <cctype>
#include <utility>

#include "tciafs/util/text.h"

namespace tciafs::http {
namespace {

// In the middle of our sentence, on one line.
std::string AsClause(std::string text) {
  for (char& c : text)
    if (std::iscntrl(static_cast<unsigned char>(c))) c = ' ';
  if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])))
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return std::string(TrimBlanks(text));
}

std::string Detail(const CurlOutcome& outcome) {
  return AsClause(outcome.detail.empty() ? curl_easy_strerror(outcome.code) : outcome.detail);
}

ExchangeFailure Failure(const CurlOutcome& outcome, Errc code, bool retryable, std::string cause) {
  return {Error{code, outcome.host + ": " + std::move(cause)}, retryable};
}

ExchangeFailure ConnectFailure(const CurlOutcome& outcome) {
  std::string cause =
      outcome.os_error != 0 ? AsClause(SystemErrorText(outcome.os_error)) : "cannot connect";
  return Failure(outcome, Errc::kUnavailable, true, std::move(cause));
}

ExchangeFailure LostConnection(const CurlOutcome& outcome) {
  if (!outcome.head_complete)
    return Failure(outcome, Errc::kUnavailable, true,
                   "connection closed without an answer (" + Detail(outcome) + ")");
  std::string cause = fmt::format("connection closed after {} bytes", outcome.body_bytes);
  if (outcome.code != CURLE_PARTIAL_FILE) cause += " (" + Detail(outcome) + ")";
  return Failure(outcome, Errc::kUnavailable, true, std::move(cause));
}

ExchangeFailure ProxyRefusal(const CurlOutcome& outcome) {
  const int status = outcome.proxy_status;
  return Failure(outcome, Errc::kUnavailable, status >= 502 && status <= 504,
                 fmt::format("the proxy answered {}", status));
}

}  // namespace

ExchangeFailure ToFailure(const CurlOutcome& outcome) {
  if (outcome.proxy_status >= 300) return ProxyRefusal(outcome);
  switch (outcome.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return Failure(outcome, Errc::kUnavailable, true, "host name not found");
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Failure(outcome, Errc::kUnavailable, true, "name of the proxy not found");
    case CURLE_COULDNT_CONNECT:
      return ConnectFailure(outcome);
    case CURLE_OPERATION_TIMEDOUT:  // the only total limit curl is given is that on connecting
      return Failure(outcome, Errc::kTimedOut, true,
                     fmt::format("no connection within {} s",
                                 static_cast<double>(outcome.connect_timeout_ms) / 1000));
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return LostConnection(outcome);
    case CURLE_SSL_CONNECT_ERROR:
      return Failure(outcome, Errc::kUnavailable, true, "TLS handshake failed: " + Detail(outcome));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return Failure(outcome, Errc::kUnavailable, false,
                     "TLS certificate not accepted: " + Detail(outcome));
    case CURLE_SSL_CACERT_BADFILE:
      return Failure(outcome, Errc::kInvalidArgument, false,
                     "certificates of the authorities cannot be read: " + Detail(outcome));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return Failure(outcome, Errc::kUnavailable, false, "not an HTTP answer");
    case CURLE_BAD_CONTENT_ENCODING:
      return Failure(outcome, Errc::kUnavailable, false, "damaged content encoding");
    case CURLE_URL_MALFORMAT:
      return Failure(outcome, Errc::kInvalidArgument, false, "not a valid URL");
    case CURLE_OUT_OF_MEMORY:
      return Failure(outcome, Errc::kInternal, false, "out of memory");
    default:
      return Failure(outcome, Errc::kUnavailable, false, Detail(outcome));
  }
}

}  // namespace tciafs::http
