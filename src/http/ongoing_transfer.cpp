// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/ongoing_transfer.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "http/limits.h"
#include "tciafs/util/log.h"

namespace tciafs::http {
namespace {

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// RFC 9110 section 15.4: after these a POST becomes a GET without a body.
bool BecomesGet(int status, const std::string& method) {
  return (status == 303 && method != "HEAD") ||
         ((status == 301 || status == 302) && method == "POST");
}

// As large as an option may make the wait.
int64_t Later(int64_t now_ms, int64_t wait_ms) {
  return now_ms + std::clamp<int64_t>(wait_ms, 0, std::numeric_limits<int64_t>::max() - now_ms);
}

double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

}  // namespace

OngoingTransfer::OngoingTransfer(uint64_t id, Request request,
                                 std::shared_ptr<ResponseHandler> handler,
                                 const NetworkContext& network,
                                 std::shared_ptr<CommandQueue> commands)
    : id_(id),
      request_(std::move(request)),
      network_(network),
      commands_(std::move(commands)),
      handler_(std::move(handler)) {}

void OngoingTransfer::Cancel() {
  cancelled_ = true;
  commands_->Post({Command::Kind::kCancel, id_});
}

void OngoingTransfer::Pause() { paused_ = true; }

// Counted before the flag falls: whoever sees the transfer running also sees that its stall
// deadline starts anew.
void OngoingTransfer::Resume() {
  if (!paused_) return;
  ++resumes_;
  paused_ = false;
  commands_->Post({Command::Kind::kResume, id_});
}

Status OngoingTransfer::Check() {
  TCIAFS_ASSIGN(origin_, ParseOrigin(request_.url));
  return {};
}

Status OngoingTransfer::BeginAttempt() {
  if (attempts_ == 0)
    window_end_ms_ = Later(network_.clock.MonotonicMs(), request_.retry.window_ms);
  ++attempts_;
  redirects_ = 0;
  call_ = {request_.url, request_.method, true};
  return BeginExchange();
}

Status OngoingTransfer::FollowRedirect() { return BeginExchange(); }

Status OngoingTransfer::BeginExchange() {
  connected_ = false;
  held_ = false;
  head_.reset();
  retry_delay_ms_.reset();
  redirecting_ = false;
  withheld_bytes_ = 0;
  ExchangeEvents& events = *this;
  exchange_ = std::make_unique<Exchange>(network_.multi, id_, request_, events);
  return exchange_->Begin(call_, network_.options);
}

NextStep OngoingTransfer::EndExchange(CURLcode code) {
  const auto exchange = std::exchange(exchange_, nullptr);
  if (cancelled_) return {.result = Fail(Errc::kCancelled, origin_.host + ": cancelled")};
  if (refusal_) return {.result = Fail(*refusal_)};
  if (withholding()) return NextAfterHead();
  if (code != CURLE_OK) return NextAfterFailure(exchange->Failure(code));
  if (!DeliverHead()) return {.result = Fail(*refusal_)};
  return {.result = TransferStats{body_bytes_, attempts_}};
}

NextStep OngoingTransfer::EndStalled() {
  exchange_.reset();
  if (withholding()) return NextAfterHead();
  const double seconds = Seconds(request_.stall_timeout_ms);
  if (!head_)
    return {.result = Fail(Errc::kTimedOut,
                           fmt::format("{}: no answer within {} s", origin_.host, seconds))};
  return {.result = Fail(Errc::kTimedOut, fmt::format("{}: no data for {} s after {} bytes",
                                                      origin_.host, seconds, body_bytes_))};
}

// Whatever became of the rest of an answer nobody is waiting for.
NextStep OngoingTransfer::NextAfterHead() {
  if (redirecting_) return {.kind = NextStep::Kind::kRedirect};
  LogDebug("request {}: {}: status {}, attempt {} follows in {} ms", request_.id, origin_.host,
           head_->status, attempts_ + 1, *retry_delay_ms_);
  return {.kind = NextStep::Kind::kRetry, .delay_ms = *retry_delay_ms_};
}

NextStep OngoingTransfer::NextAfterFailure(ExchangeFailure failure) {
  const auto delay_ms = failure.retryable ? RetryDelayMs(0) : std::nullopt;
  const bool again = delay_ms && (!head_delivered_ || handler_->OnRestart());
  if (!again) return {.result = Fail(std::move(failure.error))};
  head_delivered_ = false;
  body_bytes_ = 0;
  LogDebug("request {}: {}, attempt {} follows in {} ms", request_.id, failure.error.message,
           attempts_ + 1, *delay_ms);
  return {.kind = NextStep::Kind::kRetry, .delay_ms = *delay_ms};
}

std::optional<int64_t> OngoingTransfer::RetryDelayMs(int64_t at_least_ms) const {
  if (attempts_ >= request_.retry.attempts_max) return std::nullopt;
  const int64_t delay_ms =
      std::max(network_.backoff.DelayMs(request_.retry, attempts_), at_least_ms);
  if (Later(network_.clock.MonotonicMs(), delay_ms) > window_end_ms_) return std::nullopt;
  return delay_ms;
}

CURLcode OngoingTransfer::ReadOn() {
  if (!held_) return CURLE_OK;
  held_ = false;
  return exchange_->Unhold();
}

std::optional<int64_t> OngoingTransfer::StallsAtMs() {
  if (!connected_ || paused_ || request_.stall_timeout_ms <= 0) return std::nullopt;
  const uint32_t resumes = resumes_;
  if (resumes != std::exchange(resumes_seen_, resumes)) OnProgress();
  return Later(progress_ms_, request_.stall_timeout_ms);
}

void OngoingTransfer::Finish(Result<TransferStats> result) {
  exchange_.reset();
  const auto handler = std::exchange(handler_, nullptr);
  handler->OnDone(std::move(result));
}

void OngoingTransfer::OnConnected() {
  connected_ = true;
  OnProgress();
}

void OngoingTransfer::OnProgress() { progress_ms_ = network_.clock.MonotonicMs(); }

bool OngoingTransfer::OnHeadComplete(const ResponseHead& head) {
  head_ = head;
  const std::string location = head.Header("location");
  if (IsRedirect(head.status) && !location.empty()) return PlanRedirect(location);
  if (IsRetryableStatus(head.status, request_.retry)) {
    const auto asked_ms = ParseRetryAfterMs(head.Header("retry-after"), network_.clock.UnixMs());
    head_->retry_after_ms = asked_ms.value_or(0);
    retry_delay_ms_ = RetryDelayMs(head_->retry_after_ms);
  }
  return !cancelled_;
}

// Only within the same origin, so that no header of the request travels elsewhere.
bool OngoingTransfer::PlanRedirect(const std::string& location) {
  const auto refuse = [this](const std::string& why) {
    refusal_ = Error{Errc::kUnavailable, origin_.host + ": " + why};
    return false;
  };
  if (++redirects_ > kRedirectsMax) return refuse("too many redirects");
  if (location.size() > kLocationBytesMax) return refuse("redirected to an address too long");
  auto url = ResolveUrl(call_.url, location);
  if (!url) return refuse(url.error().message);
  const auto target = ParseOrigin(*url);
  if (!target) return refuse("redirected to " + target.error().message);
  if (*target != origin_)
    return refuse("redirected to " + target->Key() + ", which is not followed");
  if (BecomesGet(head_->status, call_.method)) {
    call_.method = "GET";
    call_.sends_body = false;
  }
  call_.url = std::move(*url);
  redirecting_ = true;
  return true;
}

ExchangeEvents::Take OngoingTransfer::OnBody(ByteView bytes) {
  if (cancelled_) return Take::kAbort;
  if (withholding()) {
    withheld_bytes_ += static_cast<int64_t>(bytes.size());
    return withheld_bytes_ <= kWithheldBytesMax ? Take::kTaken : Take::kAbort;
  }
  if (!paused_ && !DeliverHead()) return Take::kAbort;
  if (paused_) {  // perhaps by OnHead just now
    held_ = true;
    return Take::kHold;
  }
  if (auto status = handler_->OnData(bytes); !status) {
    refusal_ = std::move(status).error();
    return Take::kAbort;
  }
  body_bytes_ += static_cast<int64_t>(bytes.size());
  return Take::kTaken;
}

bool OngoingTransfer::DeliverHead() {
  if (head_delivered_ || !head_) return true;
  head_delivered_ = true;
  if (auto status = handler_->OnHead(*head_); !status) {
    refusal_ = std::move(status).error();
    return false;
  }
  return true;
}

}  // namespace tciafs::http
