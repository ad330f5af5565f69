// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One HTTP exchange on one curl easy handle: a request out, a head and a body in. It knows curl's
// options and callbacks, and nothing of retries, queues or deadlines.
// Lives on the network thread only. Destroying it drops the exchange, which is how one is
// cancelled; not from within its own events.
#pragma once

#include <curl/curl.h>

#include <cstdint>
#include <memory>
#include <string>

#include "http/curl_errors.h"
#include "http/head_parser.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/http/transport.h"

namespace tciafs::http {

class ExchangeEvents {
 public:
  enum class Take {
    kTaken,
    kHold,  // keep this piece and read no more until Exchange::Unhold
    kAbort
  };

  virtual ~ExchangeEvents() = default;
  virtual void OnConnected() = 0;  // a connection stands (TLS included); the request goes out
  virtual void OnProgress() = 0;   // bytes moved, either way
  virtual bool OnHeadComplete(const ResponseHead& head) = 0;  // false: abort
  virtual Take OnBody(ByteView bytes) = 0;
};

class Exchange {
 public:
  struct Call {
    std::string url;
    std::string method;
    bool sends_body = true;
  };

  // `request` and `events` outlive the exchange. `id` names it in the multi handle's messages.
  Exchange(CURLM* multi, uint64_t id, const Request& request, ExchangeEvents& events);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  Status Begin(const Call& call, const CurlOptions& options);
  // Delivers the held piece and reads on. Anything but CURLE_OK is the end of the exchange.
  CURLcode Unhold();
  // Why it ended, after it ended with `code` or with what Unhold said.
  ExchangeFailure Failure(CURLcode code) const;

  static uint64_t IdOf(CURL* easy);

 private:
  struct SlistDeleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  template <typename Value>
  void Set(CURLoption option, Value value);
  void SetConnection(const CurlOptions& options);
  void SetCallbacks();
  void SetMethod(const Call& call);
  Status SetHeaders();

  static size_t HeaderCallback(char* data, size_t size, size_t count, void* self);
  static size_t WriteCallback(char* data, size_t size, size_t count, void* self);
  static int ProgressCallback(void* self, curl_off_t, curl_off_t received, curl_off_t,
                              curl_off_t sent);
  static int ConnectedCallback(void* self, char*, char*, int, int);
  static int SocketCallback(void* self, curl_socket_t socket, curlsocktype);

  CURLM* const multi_;
  const uint64_t id_;
  const Request& request_;
  ExchangeEvents& events_;

  CURL* easy_ = nullptr;
  bool added_ = false;
  std::unique_ptr<curl_slist, SlistDeleter> header_lines_;
  CURLcode set_error_ = CURLE_OK;  // of the first option that curl refused
  std::string host_;
  char detail_[CURL_ERROR_SIZE] = {};

  HeadParser head_;
  bool head_too_large_ = false;
  int64_t body_bytes_ = 0;
  curl_off_t moved_bytes_ = 0;
};

}  // namespace tciafs::http
