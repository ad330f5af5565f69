// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "source/server_guard.h"

#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "tciafs/util/bytes.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/log.h"

namespace tciafs::source {
namespace {

// Failures that may be the server's. What it says no to, or what is damaged, is not.
bool IsSuspicious(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kTimedOut || code == Errc::kThrottled;
}

std::string ClockText(int64_t unix_ms) {
  const auto seconds = static_cast<time_t>(unix_ms / 1000);
  tm local{};
  localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

int64_t WholeSeconds(int64_t ms) { return (std::max<int64_t>(ms, 0) + 999) / 1000; }

}  // namespace

ServerGuard::ServerGuard(std::string server, const GuardOptions& options, Ask ask,
                         const Clock& clock, Executor& executor, Scheduler& scheduler)
    : server_(std::move(server)),
      options_(options),
      ask_(std::move(ask)),
      clock_(clock),
      executor_(executor),
      scheduler_(scheduler),
      since_unix_ms_(clock.UnixMs()) {
  if (!options_.offline) return;
  LogInfo("{}: not asked, the mount is offline", server_);
  MutexLock lock(mutex_);
  Become(State::kOffline);
  reason_ = {Errc::kOffline, server_ + ": not asked, the mount is offline"};
}

// ---- calls

Result<ServerGuard::CallPtr> ServerGuard::Admit(RequestKind kind, const std::stop_token& stop,
                                                bool patient) {
  bool ask = false;
  auto call = std::make_shared<GuardedCall>(kind, era_, stop);
  {
    MutexLock lock(mutex_);
    wanted_ms_ = clock_.MonotonicMs();
    if (state_ == State::kOffline) {
      if (options_.offline) return tciafs::Fail(reason_);
      // It was left alone for long: whoever comes first tries it.
      ask = !alarm_ms_ && !asking_ && BeginQuestion();
      on_trial_ = on_trial_ || ask;
      if (!on_trial_) return tciafs::Fail(Refusal());
    }
    if (!patient) calls_.insert(call);
  }
  if (ask) AskServer();
  return call;
}

std::optional<Error> ServerGuard::Refuses() {
  MutexLock lock(mutex_);
  wanted_ms_ = clock_.MonotonicMs();
  if (state_ != State::kOffline) return std::nullopt;
  if (options_.offline) return reason_;
  if (on_trial_ || (!alarm_ms_ && !asking_)) return std::nullopt;
  return Refusal();
}

void ServerGuard::End(const CallPtr& call, std::optional<Errc> failure) {
  requests_.Count(static_cast<size_t>(call->kind_), failure);
  MutexLock lock(mutex_);
  calls_.erase(call);
}

void ServerGuard::Succeed(const CallPtr& call) {
  End(call, std::nullopt);
  NoteDelivery(*call);
}

Error ServerGuard::Fail(const CallPtr& call, Error error, bool ours) {
  End(call, error.code);
  if (error.code == Errc::kCancelled && call->refused_) {
    MutexLock lock(mutex_);
    return Refusal();
  }
  if (ours || !IsSuspicious(error.code)) return error;
  error.code == Errc::kThrottled ? Condemn(error) : Suspect(error);
  return error;
}

// ---- what is known of the server

void ServerGuard::Become(State state) {
  if (state_ != state) since_unix_ms_ = clock_.UnixMs();
  state_ = state;
  if (state != State::kFailing) unanswered_ = 0;
  well_ = state == State::kOk;
  throttled_ = throttled_ && state == State::kOffline;
  answering_ = state != State::kOffline;
}

void ServerGuard::Suspect(const Error& error) {
  std::optional<uint64_t> alarm;
  uint64_t question = 0;
  int64_t delay_ms = 0;
  {
    MutexLock lock(mutex_);
    last_error_ = error;
    last_error_unix_ms_ = clock_.UnixMs();
    const bool is_news = state_ == State::kOk;
    if (state_ == State::kOffline) return;
    Become(State::kFailing);
    reason_ = error;
    if (!is_news) return;
    question = question_;
    delay_ms = std::max<int64_t>(cleared_until_ms_ - clock_.MonotonicMs(), 0);
    if (!asking_) alarm = ScheduleQuestion(delay_ms);
  }
  LogDebug("{}: is it still there? {}", server_, Bare(error.message));
  alarm ? ArmAfter(delay_ms, *alarm) : WatchSilence(question);
}

void ServerGuard::Condemn(const Error& error) {
  std::unordered_set<CallPtr> ended;
  uint64_t alarm = 0;
  int64_t delay_ms = 0;
  bool is_news = false;
  {
    MutexLock lock(mutex_);
    last_error_ = reason_ = error;
    last_error_unix_ms_ = clock_.UnixMs();
    is_news = state_ != State::kOffline;
    if (is_news) {
      pause_ms_ = 0;
      patience_ms_ = options_.retry_after_first_ms;
    }
    Become(State::kOffline);
    throttled_ = error.code == Errc::kThrottled;
    on_trial_ = false;
    delay_ms = std::max(PauseMs(), std::min(error.retry_after_ms, patience_ms_));
    patience_ms_ = std::min(patience_ms_ * 2, options_.retry_after_max_ms);
    alarm = ScheduleQuestion(delay_ms);
    ended.swap(calls_);
    if (error.code == Errc::kThrottled) {
      // It is there, and wants no more requests: what it sends already it may send to the end,
      // which does not show that it takes requests again.
      ++era_;
      for (const auto& call : ended)
        if (call->delivered_) calls_.insert(call);
      for (const auto& call : calls_) ended.erase(call);
    }
  }
  if (is_news)
    LogWarning("{}: not answering: {}; what is not cached fails at once until it is back", server_,
               Bare(error.message));
  else
    LogDebug("{}: still not answering: {}", server_, Bare(error.message));
  ArmAfter(delay_ms, alarm);
  for (const auto& call : ended) {
    call->refused_ = true;
    call->own_.request_stop();
  }
}

void ServerGuard::Recover() {
  bool is_news = false;
  int64_t offline_ms = 0;
  {
    MutexLock lock(mutex_);
    if (state_ == State::kOk || options_.offline) return;
    is_news = state_ == State::kOffline;
    offline_ms = clock_.UnixMs() - since_unix_ms_;
    Become(State::kOk);
    alarm_ms_.reset();
    on_trial_ = false;
    if (is_news) recovered_at_ms_ = clock_.MonotonicMs();
  }
  if (is_news)
    LogInfo("{}: answering again after {} s", server_, WholeSeconds(offline_ms));
  else
    LogDebug("{}: it is", server_);
}

// ---- the question

bool ServerGuard::BeginQuestion() {
  if (asking_ || stop_.stop_requested()) return false;
  asking_ = true;
  ++question_;
  alarm_ms_.reset();
  return true;
}

void ServerGuard::AskServer() {
  uint64_t question = 0;
  {
    MutexLock lock(mutex_);
    question = question_;
  }
  const auto weak = weak_from_this();
  executor_.Post(gate_.Guard([this, weak, question] {
    ask_(stop_.get_token(), [weak, question](const Status& status) {
      if (const auto alive = weak.lock()) alive->Answered(question, status);
    });
  }));
  WatchSilence(question);
}

void ServerGuard::WatchSilence(uint64_t question) {
  scheduler_.After(options_.silence_ms, [weak = weak_from_this(), question] {
    if (const auto self = weak.lock()) self->Silent(question);
  });
}

void ServerGuard::Answered(uint64_t question, const Status& status) {
  const bool failed = !status && IsSuspicious(status.error().code);
  const bool throttled = failed && status.error().code == Errc::kThrottled;
  const int64_t delay_ms = options_.retry_first_ms / 2;
  std::optional<uint64_t> alarm;
  {
    MutexLock lock(mutex_);
    if (question != question_ || !asking_) return;
    asking_ = false;
    if (!status && status.error().code == Errc::kCancelled) return;
    if (!failed) cleared_until_ms_ = clock_.MonotonicMs() + options_.cleared_ms;
    if (failed && state_ == State::kOk) return;  // something was delivered meanwhile
    if (failed && !throttled && state_ == State::kFailing && ++unanswered_ < options_.questions)
      alarm = ScheduleQuestion(delay_ms);
  }
  if (alarm) return ArmAfter(delay_ms, *alarm);
  // Whoever says no is there.
  failed ? Condemn(status.error()) : Recover();
}

void ServerGuard::Silent(uint64_t question) {
  {
    MutexLock lock(mutex_);
    if (question != question_ || !asking_) return;
    if (state_ == State::kOk || (state_ == State::kOffline && !on_trial_)) return;
  }
  Condemn({Errc::kTimedOut,
           fmt::format("{}: no answer within {} s", server_, WholeSeconds(options_.silence_ms))});
}

int64_t ServerGuard::PauseMs() {
  pause_ms_ =
      pause_ms_ == 0 ? options_.retry_first_ms : std::min(pause_ms_ * 2, options_.retry_max_ms);
  // By a hash instead of a die.
  const auto spread = static_cast<int64_t>(
      Xxh3(AsBytes(server_), static_cast<uint64_t>(clock_.MonotonicMs())) % 512);
  return pause_ms_ + pause_ms_ * (spread - 256) / 1024;
}

uint64_t ServerGuard::ScheduleQuestion(int64_t delay_ms) {
  alarm_ms_ = clock_.MonotonicMs() + delay_ms;
  return ++alarm_;
}

void ServerGuard::ArmAfter(int64_t delay_ms, uint64_t alarm) {
  scheduler_.After(delay_ms, [weak = weak_from_this(), alarm] {
    if (const auto self = weak.lock()) self->AlarmRang(alarm);
  });
}

void ServerGuard::AlarmRang(uint64_t alarm) {
  {
    MutexLock lock(mutex_);
    if (alarm != alarm_ || !alarm_ms_) return;
    alarm_ms_.reset();
    const bool wanted = clock_.MonotonicMs() - wanted_ms_ <= options_.idle_ms;
    if (state_ == State::kOk || (state_ == State::kOffline && !wanted)) return;
    if (!BeginQuestion()) return;
  }
  AskServer();
}

void ServerGuard::Shutdown() {
  {
    MutexLock lock(mutex_);
    alarm_ms_.reset();
    ++alarm_;
  }
  stop_.request_stop();
  gate_.Close();
  gate_.WaitUntilEmpty();
}

// ---- words

std::string ServerGuard::Bare(const std::string& message) const {
  const std::string named = server_ + ": ";
  return message.starts_with(named) ? message.substr(named.size()) : message;
}

Error ServerGuard::Refusal() const {
  if (state_ == State::kOk)  // it came back while the call was being ended
    return {Errc::kUnavailable, server_ + ": did not answer for a moment"};
  const int64_t wait_ms = alarm_ms_ ? *alarm_ms_ - clock_.MonotonicMs() : 0;
  const std::string next =
      wait_ms > 0 ? fmt::format("asked again in {} s", WholeSeconds(wait_ms)) : "being asked again";
  return {Errc::kUnreachable,
          fmt::format("{}: not answering since {} ({}); {}", server_, ClockText(since_unix_ms_),
                      Bare(reason_.message), next),
          std::max<int64_t>(wait_ms, 0)};
}

void ServerGuard::Describe(ServerStatus& status) const {
  requests_.ForEach([&](size_t kind, std::optional<Errc> failure, int64_t count) {
    status.requests.push_back({static_cast<RequestKind>(kind), failure, count});
  });
  status.image_bytes = image_bytes_.load(std::memory_order_relaxed);
  MutexLock lock(mutex_);
  status.state = state_;
  status.since_unix_ms = since_unix_ms_;
  if (state_ != State::kOk) status.reason = reason_.message;
  status.last_error = last_error_.message;
  status.last_error_unix_ms = last_error_unix_ms_;
  if (alarm_ms_)
    status.retry_in_ms = std::max<int64_t>(*alarm_ms_ - clock_.MonotonicMs(), 0);
  else if (asking_ && state_ != State::kOk)
    status.retry_in_ms = 0;
}

}  // namespace tciafs::source
