// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/exchange.h"

#include <fmt/core.h>

#include <atomic>
#include <string_view>
#include <utility>

#include "nbia/limits.h"
#include "tciafs/util/log.h"
#include "tciafs/util/mutex.h"

namespace tciafs::nbia {
namespace {

class Exchange final : public http::ResponseHandler, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(const ExchangePorts& ports, ExchangeSpec spec, std::shared_ptr<BodyReader> reader,
           ExchangeDone done)
      : scheduler_(ports.scheduler),
        strand_(Strand::Create(ports.executor)),
        request_id_(spec.request.id),
        question_(std::move(spec.question)),
        later_silence_ms_(spec.later_silence_ms),
        restartable_(reader->restartable()),
        reader_(std::move(reader)),
        done_(std::move(done)) {}

  void Start(http::Transport& transport, http::Request request, const std::stop_token& stop);

  Status OnHead(const http::ResponseHead& head) override;
  Status OnData(ByteView bytes) override;
  bool OnRestart() override;
  void OnDone(Result<http::TransferStats> result) override;

 private:
  struct Stop {
    std::weak_ptr<Exchange> exchange;
    void operator()() const {
      if (const auto self = exchange.lock())
        self->Abort({Errc::kCancelled, "the request was cancelled"});
    }
  };

  void Abort(Error reason);
  void PostDrain() TCIAFS_REQUIRES(mutex_);
  void ApplyFlow();
  void ArmSilence();
  void CheckSilence();

  // On the strand.
  void Drain();
  void ReadPiece(std::optional<int> status, std::string_view bytes);
  void CollectRefusal(std::string_view bytes);
  void Finish(const Result<http::TransferStats>& result);
  std::optional<Refusal> Outcome(const Result<http::TransferStats>& result);
  void Log(const Result<http::TransferStats>& result, const std::optional<Refusal>& outcome) const;

  Scheduler& scheduler_;
  const std::shared_ptr<Strand> strand_;

  const uint64_t request_id_;
  const Question question_;
  const int64_t later_silence_ms_;
  const bool restartable_;

  Mutex mutex_;
  std::shared_ptr<http::Transfer> transfer_ TCIAFS_GUARDED_BY(mutex_);
  std::optional<std::stop_callback<Stop>> stop_;          // made by Start, dropped by Finish
  std::optional<Error> abort_ TCIAFS_GUARDED_BY(mutex_);  // the first reason wins
  std::optional<int> queued_status_ TCIAFS_GUARDED_BY(mutex_);
  int64_t retry_after_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  std::string queued_ TCIAFS_GUARDED_BY(mutex_);
  size_t unread_bytes_ TCIAFS_GUARDED_BY(mutex_) = 0;  // queued and being read
  bool draining_ TCIAFS_GUARDED_BY(mutex_) = false;    // a Drain is posted
  bool pause_wanted_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool pause_applied_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool applying_flow_ TCIAFS_GUARDED_BY(mutex_) = false;
  Scheduler::TimerId silence_timer_ TCIAFS_GUARDED_BY(mutex_) = 0;
  uint64_t pieces_ TCIAFS_GUARDED_BY(mutex_) = 0;
  uint64_t pieces_seen_ TCIAFS_GUARDED_BY(mutex_) = 0;  // when the silence timer last looked
  bool ended_ TCIAFS_GUARDED_BY(mutex_) = false;        // OnDone has come

  // Confined to the strand.
  std::string piece_;  // being read; it and queued_ change places, so that neither grows anew
  std::shared_ptr<BodyReader> reader_;
  ExchangeDone done_;
  int status_ = 0;
  std::string refusal_body_;
};

uint64_t NextRequestId() {
  static std::atomic<uint64_t> last_id = 0;
  return ++last_id;
}

// Not of whoever cancelled it, or of this machine.
bool OfTheRequest(Errc code) {
  return code != Errc::kCancelled && code != Errc::kNoSpace && code != Errc::kInternal;
}

bool IsGood(int status) { return status == 200 || status == 204; }

void Exchange::Start(http::Transport& transport, http::Request request,
                     const std::stop_token& stop) {
  if (stop.stop_requested()) {
    strand_->Post([self = shared_from_this()] {
      self->Finish(Fail(Errc::kCancelled, "the request was cancelled"));
    });
    return;
  }
  stop_.emplace(stop, Stop{weak_from_this()});
  auto transfer = transport.Start(std::move(request), shared_from_this());
  bool aborted = false;
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    transfer_ = transfer;
    aborted = abort_.has_value();
  }
  if (aborted) transfer->Cancel();
  ApplyFlow();
}

// Ends the transfer; OnDone follows and brings the end.
void Exchange::Abort(Error reason) {
  std::shared_ptr<http::Transfer> transfer;
  {
    MutexLock lock(mutex_);
    if (!abort_) abort_ = std::move(reason);
    transfer = transfer_;
  }
  if (transfer) transfer->Cancel();
}

void Exchange::PostDrain() {
  if (draining_) return;
  draining_ = true;
  strand_->Post([self = shared_from_this()] { self->Drain(); });
}

Status Exchange::OnHead(const http::ResponseHead& head) {
  MutexLock lock(mutex_);
  queued_status_ = head.status;
  retry_after_ms_ = head.retry_after_ms;
  PostDrain();
  return {};
}

Status Exchange::OnData(ByteView bytes) {
  bool first = false;
  {
    MutexLock lock(mutex_);
    first = pieces_++ == 0;
    queued_ += AsText(bytes);
    unread_bytes_ += bytes.size();
    if (unread_bytes_ > kQueuedBytesHigh) pause_wanted_ = true;
    PostDrain();
  }
  if (first && later_silence_ms_ > 0) ArmSilence();
  ApplyFlow();
  return {};
}

bool Exchange::OnRestart() {
  if (!restartable_) return false;
  MutexLock lock(mutex_);
  unread_bytes_ -= queued_.size();
  queued_.clear();
  queued_status_.reset();
  return true;
}

void Exchange::OnDone(Result<http::TransferStats> result) {
  std::shared_ptr<http::Transfer> transfer;
  Scheduler::TimerId timer = 0;
  {
    MutexLock lock(mutex_);
    ended_ = true;
    transfer.swap(transfer_);
    timer = silence_timer_;
  }
  if (timer != 0) scheduler_.Cancel(timer);
  strand_->Post([self = shared_from_this(), result = std::move(result)] { self->Finish(result); });
}

// Pause and Resume are called without the lock, by one thread at a time, until what is applied is
// what is wanted: two threads that decide in one order could otherwise call in the other.
void Exchange::ApplyFlow() {
  for (;;) {
    std::shared_ptr<http::Transfer> transfer;
    bool pause = false;
    {
      MutexLock lock(mutex_);
      if (!transfer_ || applying_flow_ || pause_wanted_ == pause_applied_) return;
      applying_flow_ = true;
      transfer = transfer_;
      pause = pause_wanted_;
    }
    if (pause)
      transfer->Pause();
    else
      transfer->Resume();
    MutexLock lock(mutex_);
    pause_applied_ = pause;
    applying_flow_ = false;
  }
}

void Exchange::ArmSilence() {
  const auto timer = scheduler_.After(later_silence_ms_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->CheckSilence();
  });
  bool ended = false;
  {
    MutexLock lock(mutex_);
    silence_timer_ = timer;
    ended = ended_;
  }
  if (ended) scheduler_.Cancel(timer);
}

void Exchange::CheckSilence() {
  bool silent = false;
  {
    MutexLock lock(mutex_);
    if (ended_) return;
    silent = pieces_ == pieces_seen_ && !pause_wanted_ && !pause_applied_;
    pieces_seen_ = pieces_;
  }
  if (!silent) return ArmSilence();
  Abort(Within(question_,
               {Errc::kTimedOut, fmt::format("no byte for {} s in the middle of the answer",
                                             later_silence_ms_ / 1000)}));
}

void Exchange::Drain() {
  std::optional<int> status;
  bool aborted = false;
  {
    MutexLock lock(mutex_);
    draining_ = false;
    status = std::exchange(queued_status_, std::nullopt);
    piece_.swap(queued_);
    aborted = abort_.has_value();
  }
  if (!aborted) ReadPiece(status, piece_);
  {
    MutexLock lock(mutex_);
    unread_bytes_ -= piece_.size();
    piece_.clear();
    if (unread_bytes_ <= kQueuedBytesLow) pause_wanted_ = false;
  }
  ApplyFlow();
}

void Exchange::ReadPiece(std::optional<int> status, std::string_view bytes) {
  if (status) {
    status_ = *status;
    refusal_body_.clear();
    if (IsGood(status_)) reader_->Begin();
  }
  if (bytes.empty()) return;
  if (!IsGood(status_)) return CollectRefusal(bytes);
  if (Status read = reader_->Read(AsBytes(bytes)); !read) Abort(std::move(read).error());
}

void Exchange::CollectRefusal(std::string_view bytes) {
  refusal_body_ += bytes.substr(0, kErrorBodyBytesMax - refusal_body_.size());
  if (refusal_body_.size() < kErrorBodyBytesMax) return;
  // Enough to know why; the rest is not waited for.
  std::shared_ptr<http::Transfer> transfer;
  {
    MutexLock lock(mutex_);
    transfer = transfer_;
  }
  if (transfer) transfer->Cancel();
}

void Exchange::Finish(const Result<http::TransferStats>& result) {
  std::optional<Refusal> outcome = Outcome(result);
  Log(result, outcome);
  if (outcome && OfTheRequest(outcome->error.code))
    outcome->error.message += fmt::format(" (request {})", request_id_);
  stop_.reset();
  const auto reader = std::move(reader_);
  const auto done = std::move(done_);
  done(std::move(outcome));
}

void Exchange::Log(const Result<http::TransferStats>& result,
                   const std::optional<Refusal>& outcome) const {
  if (outcome) return LogDebug("request {}: {}", request_id_, outcome->error.message);
  LogDebug("request {}: {}: {}: {} bytes", request_id_, question_.host, question_.endpoint,
           result ? result->body_bytes : 0);
}

std::optional<Refusal> Exchange::Outcome(const Result<http::TransferStats>& result) {
  std::optional<Error> abort;
  int64_t retry_after_ms = 0;
  {
    MutexLock lock(mutex_);
    abort = abort_;
    retry_after_ms = retry_after_ms_;
  }
  Refusal refusal;
  if (abort) {
    refusal.error = std::move(*abort);
    refusal.status = status_;
    return refusal;
  }
  if (status_ != 0 && !IsGood(status_)) {
    refusal = ReadRefusal(question_, status_, refusal_body_);
    refusal.error.retry_after_ms = retry_after_ms;
    return refusal;
  }
  if (!result) {
    refusal.error = Within(question_, result.error());
    return refusal;
  }
  if (status_ == 0) {
    refusal.error = Within(question_, {Errc::kUnavailable, "no answer"});
    return refusal;
  }
  const Status end = reader_->End();
  if (end) return std::nullopt;
  refusal.status = status_;
  refusal.error = end.error();
  return refusal;
}

}  // namespace

void StartExchange(const ExchangePorts& ports, ExchangeSpec spec,
                   std::shared_ptr<BodyReader> reader, std::stop_token stop, ExchangeDone done) {
  spec.request.id = NextRequestId();
  LogDebug("request {}: {}: {}", spec.request.id, spec.question.host, spec.question.endpoint);
  reader->OnRequest(spec.request.id);
  http::Request request = spec.request;
  const auto exchange =
      std::make_shared<Exchange>(ports, std::move(spec), std::move(reader), std::move(done));
  exchange->Start(ports.transport, std::move(request), stop);
}

}  // namespace tciafs::nbia
