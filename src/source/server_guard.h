// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The circuit breaker of guarded_source.h: what is known of a server's health, the question that
// finds out, and the calls under way, which are ended when the server proves not to answer.
//
// Thread-safe. Owned by shared_ptr: timers and late answers hold it weakly. Its mutex is a leaf:
// nothing is called, logged or stopped while it is held. Times are monotonic milliseconds unless
// they say unix.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_set>
#include <vector>

#include "tciafs/source/guarded_source.h"
#include "tciafs/util/gate.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/outcome_counters.h"

namespace tciafs::source {

// One call of the source below. Made by ServerGuard::Admit.
class GuardedCall {
 public:
  GuardedCall(RequestKind kind, uint64_t era, const std::stop_token& stop)
      : kind_(kind), era_(era), link_(stop, Relay{own_}) {}
  std::stop_token stop() const { return own_.get_token(); }

 private:
  friend class ServerGuard;
  struct Relay {
    std::stop_source own;
    void operator()() const {
      std::stop_source alive = own;  // the call may end, and this with it
      alive.request_stop();
    }
  };
  const RequestKind kind_;
  const uint64_t era_;
  std::stop_source own_;
  std::stop_callback<Relay> link_;
  std::atomic<bool> refused_ = false;    // ended because the server does not answer
  std::atomic<bool> delivered_ = false;  // something came
};

class ServerGuard : public std::enable_shared_from_this<ServerGuard> {
 public:
  using CallPtr = std::shared_ptr<GuardedCall>;
  // Asks the cheapest question.
  using Ask = std::function<void(std::stop_token stop, std::function<void(Status)> done)>;

  ServerGuard(std::string server, const GuardOptions& options, Ask ask, const Clock& clock,
              Executor& executor, Scheduler& scheduler);

  // `patient`: nobody waits for the call, it is not ended with the others. Every call admitted is
  // to be ended.
  Result<CallPtr> Admit(RequestKind kind, const std::stop_token& stop, bool patient);
  // What Admit would refuse now.
  std::optional<Error> Refuses();
  // How the call ended; `ours`: the error came from this house, not from the server. Answers the
  // error to hand on.
  Error Fail(const CallPtr& call, Error error, bool ours);
  void Succeed(const CallPtr& call);
  // Something was delivered. Cheap where all is well.
  void NoteDelivery(GuardedCall& call) {
    call.delivered_.store(true, std::memory_order_relaxed);
    if (!well_ && (!throttled_ || call.era_ == era_)) Recover();
  }
  void CountImageBytes(size_t bytes) {
    image_bytes_.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  }
  // Asks no more; returns when nobody is about to. Never to be called from `ask`.
  void Shutdown();

  bool answering() const { return answering_; }
  int64_t recovered_at_ms() const { return recovered_at_ms_; }
  void Describe(ServerStatus& status) const;

 private:
  using State = ServerStatus::State;
  void End(const CallPtr& call, std::optional<Errc> failure);
  void Suspect(const Error& error);
  void Condemn(const Error& error);
  void Recover();
  void AskServer();
  void Answered(uint64_t question, const Status& status);
  void Silent(uint64_t question);
  void WatchSilence(uint64_t question);
  void ArmAfter(int64_t delay_ms, uint64_t alarm);
  void AlarmRang(uint64_t alarm);
  bool BeginQuestion() TCIAFS_REQUIRES(mutex_);
  uint64_t ScheduleQuestion(int64_t delay_ms) TCIAFS_REQUIRES(mutex_);
  int64_t PauseMs() TCIAFS_REQUIRES(mutex_);
  void Become(State state) TCIAFS_REQUIRES(mutex_);
  Error Refusal() const TCIAFS_REQUIRES(mutex_);
  std::string Bare(const std::string& message) const;

  const std::string server_;
  const GuardOptions options_;
  const Ask ask_;
  const Clock& clock_;
  Executor& executor_;
  Scheduler& scheduler_;
  OutcomeCounters<kRequestKinds> requests_;
  std::atomic<int64_t> image_bytes_ = 0;
  Gate gate_;  // of questions being asked
  std::stop_source stop_;

  std::atomic<bool> well_ = true;        // state is kOk
  std::atomic<bool> throttled_ = false;  // it wants no more requests
  std::atomic<uint64_t> era_ = 0;        // how often it has said so
  std::atomic<bool> answering_ = true;   // state is not kOffline
  std::atomic<int64_t> recovered_at_ms_ = std::numeric_limits<int64_t>::min();

  mutable Mutex mutex_;
  State state_ TCIAFS_GUARDED_BY(mutex_) = State::kOk;
  int64_t since_unix_ms_ TCIAFS_GUARDED_BY(mutex_);
  Error reason_ TCIAFS_GUARDED_BY(mutex_);
  Error last_error_ TCIAFS_GUARDED_BY(mutex_);
  int64_t last_error_unix_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int64_t wanted_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;  // by a caller, last
  int64_t cleared_until_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  uint64_t question_ TCIAFS_GUARDED_BY(mutex_) = 0;  // number of the last one
  bool asking_ TCIAFS_GUARDED_BY(mutex_) = false;    // it is not answered yet
  int unanswered_ TCIAFS_GUARDED_BY(mutex_) = 0;     // questions in a row, of a suspect
  bool on_trial_ TCIAFS_GUARDED_BY(mutex_) = false;  // offline, but calls pass with the question
  uint64_t alarm_ TCIAFS_GUARDED_BY(mutex_) = 0;     // number of the last one
  std::optional<int64_t> alarm_ms_ TCIAFS_GUARDED_BY(mutex_);    // when to ask
  int64_t pause_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;               // before the next question
  int64_t patience_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;            // granted at most, if asked for
  std::unordered_set<CallPtr> calls_ TCIAFS_GUARDED_BY(mutex_);  // but for the patient ones
};

}  // namespace tciafs::source
