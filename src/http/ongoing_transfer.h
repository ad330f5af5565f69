// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One request from Start to OnDone, across its attempts and redirects: what reaches the handler,
// what is withheld because another attempt follows, when it has stalled, and what comes next. The
// loop (network_loop.h) owns the when and where; this decides the what.
//
// Cancel, Pause and Resume may come from any thread, also after the transport is gone; everything
// else happens on the network thread. The head is given to the handler together with the first byte
// of the body, or at the end without one: until then a lost connection can be tried again
// unnoticed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "http/command_queue.h"
#include "http/exchange.h"
#include "http/retry.h"
#include "http/url.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/util/clock.h"

namespace tciafs::http {

// What the loop lends its transfers, for the network thread.
struct NetworkContext {
  const CurlOptions& options;
  const Clock& clock;
  CURLM* multi;
  Backoff& backoff;
};

// What follows an exchange that has ended.
struct NextStep {
  enum class Kind { kFinish, kRetry, kRedirect };
  Kind kind = Kind::kFinish;
  Result<TransferStats> result = TransferStats{};  // for kFinish
  int64_t delay_ms = 0;                            // for kRetry
};

class OngoingTransfer final : public Transfer, private ExchangeEvents {
 public:
  OngoingTransfer(uint64_t id, Request request, std::shared_ptr<ResponseHandler> handler,
                  const NetworkContext& network, std::shared_ptr<CommandQueue> commands);

  void Cancel() override;
  void Pause() override;
  void Resume() override;

  uint64_t id() const { return id_; }
  Lane lane() const { return request_.lane; }
  const Origin& origin() const { return origin_; }

  // Before anything else: learns the origin, or says why this is no request.
  Status Check();
  Status BeginAttempt();
  // After NextStep::kRedirect: the same attempt goes on at the address the server named.
  Status FollowRedirect();
  // The exchange ended with `code`, or stalled. It is gone afterwards.
  NextStep EndExchange(CURLcode code);
  NextStep EndStalled();
  // Delivers a held piece and reads on; anything but CURLE_OK is the end of the exchange.
  CURLcode ReadOn();
  // When it will have stalled; nothing while connecting (which has its own limit) or paused.
  std::optional<int64_t> StallsAtMs();
  // Calls OnDone and lets the handler go.
  void Finish(Result<TransferStats> result);

 private:
  void OnConnected() override;
  void OnProgress() override;
  bool OnHeadComplete(const ResponseHead& head) override;
  Take OnBody(ByteView bytes) override;

  Status BeginExchange();
  bool DeliverHead();
  bool PlanRedirect(const std::string& location);
  std::optional<int64_t> RetryDelayMs(int64_t at_least_ms) const;
  NextStep NextAfterHead();
  NextStep NextAfterFailure(ExchangeFailure failure);
  bool withholding() const { return retry_delay_ms_ || redirecting_; }

  const uint64_t id_;
  const Request request_;
  const NetworkContext& network_;
  const std::shared_ptr<CommandQueue> commands_;

  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> paused_ = false;
  std::atomic<uint32_t> resumes_ = 0;

  // The network thread's own from here on.
  std::shared_ptr<ResponseHandler> handler_;
  Origin origin_;
  Exchange::Call call_;
  std::unique_ptr<Exchange> exchange_;
  int attempts_ = 0;
  int redirects_ = 0;          // of the current attempt
  int64_t window_end_ms_ = 0;  // no attempt starts later
  int64_t progress_ms_ = 0;    // when a byte last moved
  uint32_t resumes_seen_ = 0;  // by the stall deadline
  bool head_delivered_ = false;
  int64_t body_bytes_ = 0;        // delivered
  std::optional<Error> refusal_;  // a handler's, or our own: the transfer ends with it

  // Of the current exchange.
  bool connected_ = false;
  bool held_ = false;  // curl keeps a piece for us
  std::optional<ResponseHead> head_;
  std::optional<int64_t> retry_delay_ms_;  // the status asks for another attempt
  bool redirecting_ = false;
  int64_t withheld_bytes_ = 0;
};

}  // namespace tciafs::http
