// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/exchange.h"

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <string_view>

#include "http/url.h"

namespace tciafs::http {
namespace {

// Fewer, larger reads for downloads; this is also what may still arrive after a pause.
constexpr long kDownloadBufferBytes = 128 * 1024;
constexpr long kMetadataBufferBytes = 16 * 1024;
constexpr long kKeepAliveIdleSeconds = 60;  // below the idle limit of common NAT boxes
constexpr long kKeepAliveProbeSeconds = 10;

// A line end or a NUL inside would let a value forge further headers.
bool FitsOnALine(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool IsToken(std::string_view text) {
  constexpr std::string_view kTokenChars =
      "!#$%&'*+-.^_`|~0123456789"
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  return !text.empty() && text.find_first_not_of(kTokenChars) == std::string_view::npos;
}

}  // namespace

Exchange::Exchange(CURLM* multi, uint64_t id, const Request& request, ExchangeEvents& events)
    : multi_(multi), id_(id), request_(request), events_(events), easy_(curl_easy_init()) {}

Exchange::~Exchange() {
  if (added_) curl_multi_remove_handle(multi_, easy_);
  if (easy_ != nullptr) curl_easy_cleanup(easy_);
}

Status Exchange::Begin(const Call& call, const CurlOptions& options) {
  if (easy_ == nullptr) return Fail(Errc::kInternal, "out of memory");
  host_ = HostForMessages(call.url);
  if (!IsToken(call.method))
    return Fail(Errc::kInvalidArgument, host_ + ": not a valid HTTP method");
  Set(CURLOPT_URL, call.url.c_str());
  SetConnection(options);
  SetCallbacks();
  SetMethod(call);
  TCIAFS_TRY(SetHeaders());
  if (set_error_ != CURLE_OK)
    return Fail(Errc::kInternal, fmt::format("{}: {}", host_, curl_easy_strerror(set_error_)));
  const CURLMcode added = curl_multi_add_handle(multi_, easy_);
  if (added != CURLM_OK)
    return Fail(Errc::kInternal, fmt::format("{}: {}", host_, curl_multi_strerror(added)));
  added_ = true;
  return {};
}

template <typename Value>
void Exchange::Set(CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy_, option, value);
  if (set_error_ == CURLE_OK) set_error_ = code;
}

void Exchange::SetConnection(const CurlOptions& options) {
  const bool download = request_.lane == Lane::kDownload;
  Set(CURLOPT_PROTOCOLS_STR, "http,https");
  Set(CURLOPT_FOLLOWLOCATION, 0L);  // redirects are decided above, where origins are compared
  Set(CURLOPT_NOSIGNAL, 1L);
  // Else dropping a transfer would wait for its name look-up to come back.
  Set(CURLOPT_QUICK_EXIT, 1L);
  Set(CURLOPT_USERAGENT, options.user_agent.c_str());
  if (!options.proxy.empty()) Set(CURLOPT_PROXY, options.proxy.c_str());
  Set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  Set(CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));  // tokens never to the proxy
  Set(CURLOPT_SSL_VERIFYPEER, 1L);
  Set(CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options.ca_file.empty()) Set(CURLOPT_CAINFO, options.ca_file.c_str());
  Set(CURLOPT_TCP_KEEPALIVE, 1L);
  Set(CURLOPT_TCP_KEEPIDLE, kKeepAliveIdleSeconds);
  Set(CURLOPT_TCP_KEEPINTVL, kKeepAliveProbeSeconds);
  Set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(std::clamp<int64_t>(request_.connect_timeout_ms, 1, INT_MAX)));
  // A download is paused by leaving it in the server's socket, which HTTP/2 cannot do: its
  // streams share a connection, and what is in the window must be kept in memory.
  Set(CURLOPT_HTTP_VERSION,
      static_cast<long>(download ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
  Set(CURLOPT_BUFFERSIZE, download ? kDownloadBufferBytes : kMetadataBufferBytes);
  if (!download) Set(CURLOPT_ACCEPT_ENCODING, "gzip");
}

void Exchange::SetCallbacks() {
  Set(CURLOPT_PRIVATE, this);
  Set(CURLOPT_ERRORBUFFER, detail_);
  Set(CURLOPT_HEADERFUNCTION, &HeaderCallback);
  Set(CURLOPT_HEADERDATA, this);
  Set(CURLOPT_WRITEFUNCTION, &WriteCallback);
  Set(CURLOPT_WRITEDATA, this);
  Set(CURLOPT_NOPROGRESS, 0L);
  Set(CURLOPT_XFERINFOFUNCTION, &ProgressCallback);
  Set(CURLOPT_XFERINFODATA, this);
  Set(CURLOPT_PREREQFUNCTION, &ConnectedCallback);
  Set(CURLOPT_PREREQDATA, this);
  Set(CURLOPT_SOCKOPTFUNCTION, &SocketCallback);
  Set(CURLOPT_SOCKOPTDATA, this);
}

void Exchange::SetMethod(const Call& call) {
  const bool sends_body = call.sends_body && (call.method == "POST" || !request_.body.empty());
  if (sends_body) {
    Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    Set(CURLOPT_POSTFIELDS, request_.body.c_str());  // not copied: the request outlives us
  }
  if (call.method == "HEAD")
    Set(CURLOPT_NOBODY, 1L);
  else if (call.method != (sends_body ? "POST" : "GET"))
    Set(CURLOPT_CUSTOMREQUEST, call.method.c_str());
}

Status Exchange::SetHeaders() {
  // An empty one removes curl's "Expect: 100-continue", which costs a round trip.
  curl_slist* lines = curl_slist_append(nullptr, "Expect:");
  for (const auto& [name, value] : request_.headers) {
    if (!IsToken(name) || !FitsOnALine(value)) {
      curl_slist_free_all(lines);
      return Fail(Errc::kInvalidArgument, host_ + ": a request header is malformed");
    }
    const std::string line = value.empty() ? name + ";" : name + ": " + value;
    curl_slist* longer = lines == nullptr ? nullptr : curl_slist_append(lines, line.c_str());
    if (longer == nullptr) {
      curl_slist_free_all(lines);
      return Fail(Errc::kInternal, "out of memory");
    }
    lines = longer;
  }
  header_lines_.reset(lines);
  Set(CURLOPT_HTTPHEADER, header_lines_.get());
  return {};
}

CURLcode Exchange::Unhold() { return curl_easy_pause(easy_, CURLPAUSE_CONT); }

ExchangeFailure Exchange::Failure(CURLcode code) const {
  if (head_too_large_)
    return {Error{Errc::kUnavailable, fmt::format("{}: headers larger than {} KiB", host_,
                                                  HeadParser::kHeaderBytesMax / 1024)},
            false};
  CurlOutcome outcome;
  outcome.code = code;
  outcome.detail = detail_;
  long value = 0;
  if (curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &value) == CURLE_OK)
    outcome.os_error = static_cast<int>(value);
  if (curl_easy_getinfo(easy_, CURLINFO_HTTP_CONNECTCODE, &value) == CURLE_OK)
    outcome.proxy_status = static_cast<int>(value);
  outcome.head_complete = head_.complete();
  outcome.body_bytes = body_bytes_;
  outcome.connect_timeout_ms = request_.connect_timeout_ms;
  outcome.host = host_;
  return ToFailure(outcome);
}

uint64_t Exchange::IdOf(CURL* easy) {
  char* self = nullptr;
  if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &self) != CURLE_OK || self == nullptr) return 0;
  return reinterpret_cast<const Exchange*>(self)->id_;
}

size_t Exchange::HeaderCallback(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  exchange.events_.OnProgress();
  switch (exchange.head_.OnLine({data, size * count})) {
    case HeadParser::Progress::kMore:
      return size * count;
    case HeadParser::Progress::kComplete:
      return exchange.events_.OnHeadComplete(exchange.head_.head()) ? size * count : 0;
    case HeadParser::Progress::kTooLarge:
      break;
  }
  exchange.head_too_large_ = true;
  return 0;
}

size_t Exchange::WriteCallback(char* data, size_t size, size_t count, void* self) {
  auto& exchange = *static_cast<Exchange*>(self);
  const size_t bytes = size * count;
  switch (exchange.events_.OnBody(AsBytes({data, bytes}))) {
    case ExchangeEvents::Take::kTaken:
      exchange.body_bytes_ += static_cast<int64_t>(bytes);
      return bytes;
    case ExchangeEvents::Take::kHold:
      return CURL_WRITEFUNC_PAUSE;
    case ExchangeEvents::Take::kAbort:
      break;
  }
  return bytes == 0 ? 1 : 0;  // anything but the size is an error to curl
}

int Exchange::ProgressCallback(void* self, curl_off_t, curl_off_t received, curl_off_t,
                               curl_off_t sent) {
  auto& exchange = *static_cast<Exchange*>(self);
  if (received + sent != exchange.moved_bytes_) {
    exchange.moved_bytes_ = received + sent;
    exchange.events_.OnProgress();
  }
  return 0;
}

int Exchange::ConnectedCallback(void* self, char*, char*, int, int) {
  static_cast<Exchange*>(self)->events_.OnConnected();
  return CURL_PREREQFUNC_OK;
}

// A transfer that has stalled leaves an HTTP/2 connection it shared in use; where the other side is
// gone, the kernel is to notice soon, lest the next transfers wait on it in turn.
int Exchange::SocketCallback(void* self, curl_socket_t socket, curlsocktype) {
  const Request& request = static_cast<Exchange*>(self)->request_;
  const int64_t longest_ms = std::max(request.stall_timeout_ms, request.connect_timeout_ms);
  const auto limit_ms = static_cast<unsigned>(std::clamp<int64_t>(longest_ms, 0, INT_MAX));
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms);  // else without
  return CURL_SOCKOPT_OK;
}

}  // namespace tciafs::http
