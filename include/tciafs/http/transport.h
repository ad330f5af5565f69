// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// HTTP as the rest of the house sees it: start a request, get its head, its bytes as they come, and
// one end. No layer above names curl.
//
// Threads: Start and all Transfer methods may be called from any thread. A ResponseHandler is
// called on the transport's one network thread, in the order OnHead, OnData*, OnDone; it must not
// block, and hands real work to an Executor. OnDone comes exactly once and last, also after Cancel.
// Ownership: the transport keeps the handler until OnDone returned; dropping the Transfer handle
// does not cancel. Errors: kTimedOut (no progress), kUnavailable (DNS, refused, reset, TLS, cut
// short), kCancelled, and whatever a handler returned. An HTTP status is not an error here: it is
// told in the head, and the archive's client decides, since this archive's statuses need reading
// between the lines. Protocols: RFC 9110 (HTTP), RFC 9110 10.2.3 (Retry-After).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Requests of the two lanes are limited apart, so that downloads cannot starve listings.
enum class Lane { kMetadata, kDownload };

struct RetryPolicy {
  int attempts_max = 4;            // the first one included
  int64_t backoff_first_ms = 500;  // doubles each time, with jitter
  int64_t backoff_max_ms = 15'000;
  int64_t window_ms = 60'000;    // no new attempt starts after this long
  bool retry_status_500 = true;  // some endpoints say 500 for "not found"
};

struct Request {
  uint64_t id = 0;  // for the log: what it says of one request carries the same number
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;
  Lane lane = Lane::kMetadata;
  int64_t connect_timeout_ms = 15'000;
  // No byte in either direction for this long ends an attempt with kTimedOut. Time spent queued for
  // a connection, paused by the consumer or waiting before a retry does not count. Time-outs after
  // the connection stood are not retried: the deadline was a promise to the caller.
  int64_t stall_timeout_ms = 60'000;
  RetryPolicy retry;
};

struct ResponseHead {
  int status = 0;
  Headers headers;             // names in lower case
  int64_t retry_after_ms = 0;  // with a status worth trying again: what Retry-After asks for
  std::string Header(std::string_view lower_case_name) const;  // "" if absent
};

struct TransferStats {
  int64_t body_bytes = 0;  // after content decoding
  int attempts = 1;
};

class ResponseHandler {
 public:
  virtual ~ResponseHandler() = default;
  // The head of the attempt that counts: retryable statuses come here only when retries are used
  // up. It comes with the first byte of the body, or at the end where there is none. An error ends
  // the transfer with that error.
  virtual Status OnHead(const ResponseHead& head) = 0;
  virtual Status OnData(ByteView bytes) = 0;
  // The connection broke after bytes were delivered. True: forget them, the transfer starts again
  // (if the policy allows) and OnHead comes again; false: end with the error.
  virtual bool OnRestart() { return false; }
  virtual void OnDone(Result<TransferStats> result) = 0;
};

class Transfer {
 public:
  virtual ~Transfer() = default;
  virtual void Cancel() = 0;
  // Backpressure: after Pause, at most what is already in flight (one network buffer) still
  // arrives.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::shared_ptr<Transfer> Start(Request request,
                                          std::shared_ptr<ResponseHandler> handler) = 0;
};

// A whole small answer in memory.
struct Response {
  ResponseHead head;
  std::string body;
};

// Collects at most `body_bytes_max`; more is kUnavailable ("answer larger than ...").
std::shared_ptr<Transfer> Fetch(Transport& transport, Request request, size_t body_bytes_max,
                                Callback<Response> done);

}  // namespace tciafs::http
