// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/network_loop.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "tciafs/util/log.h"

namespace tciafs::http {
namespace {

// Deadlines are those of the injected clock, which need not run at the pace of poll; this bounds
// how late a jump of it is noticed.
constexpr int kBusyPollMaxMs = 1000;
constexpr int kIdlePollMs = 60'000;  // nothing to do: only commands wake us
constexpr long kIdleConnectionsMax = 32;

// Signals are for the main thread; a write to a closed connection must not kill the process.
void ShieldFromSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

NetworkLoop::NetworkLoop(CurlOptions options, CURLM* multi, uint64_t random_seed)
    : options_(std::move(options)),
      multi_(multi),
      commands_(std::make_shared<CommandQueue>(multi)),
      backoff_(random_seed),
      network_{options_, *options_.clock, multi_, backoff_},
      lanes_(options_.downloads_max, options_.connections_max) {
  curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, kIdleConnectionsMax);
  thread_ = std::thread([this] { Run(); });
}

NetworkLoop::~NetworkLoop() {
  commands_->Stop();
  thread_.join();
  commands_->Close();
  curl_multi_cleanup(multi_);
}

std::shared_ptr<Transfer> NetworkLoop::Start(Request request,
                                             std::shared_ptr<ResponseHandler> handler) {
  const uint64_t id = next_id_++;
  auto transfer = std::make_shared<OngoingTransfer>(id, std::move(request), std::move(handler),
                                                    network_, commands_);
  commands_->Post({Command::Kind::kStart, id, transfer});
  return transfer;
}

void NetworkLoop::Run() {
  pthread_setname_np(pthread_self(), "tciafs-http");
  ShieldFromSignals();
  while (!commands_->stopping()) {
    Turn();
    curl_multi_poll(multi_, nullptr, 0, PollTimeoutMs(), nullptr);
  }
  CancelAll();
}

void NetworkLoop::Turn() {
  RunCommands();
  QueueDue();
  StartReady();
  int running = 0;
  if (const CURLMcode code = curl_multi_perform(multi_, &running); code != CURLM_OK)
    LogError("network loop: {}", curl_multi_strerror(code));
  ReapEnded();
  EndStalled();
  StartReady();  // in the places that have become free
}

void NetworkLoop::RunCommands() {
  for (auto& command : commands_->Take()) {
    switch (command.kind) {
      case Command::Kind::kStart:
        Admit(std::move(command.transfer));
        break;
      case Command::Kind::kCancel:
        Finish(command.id, Fail(Errc::kCancelled, "cancelled"));
        break;
      case Command::Kind::kResume:
        ReadOn(command.id);
        break;
    }
  }
}

void NetworkLoop::Admit(std::shared_ptr<OngoingTransfer> transfer) {
  const Status valid = transfer->Check();
  if (!valid) {
    transfer->Finish(Fail(valid.error()));
    return;
  }
  if (options_.offline) {
    transfer->Finish(
        Fail(Errc::kOffline, transfer->origin().host + ": not asked, the network is off"));
    return;
  }
  lanes_.Enqueue(transfer->origin().Key(), transfer->lane(), transfer->id(),
                 HostLanes::Place::kLast);
  const uint64_t id = transfer->id();
  transfers_.emplace(id, Entry{std::move(transfer), State::kQueued, 0});
}

void NetworkLoop::ReadOn(uint64_t id) {
  const auto entry = transfers_.find(id);
  if (entry == transfers_.end() || entry->second.state != State::kUnderWay) return;
  const auto transfer = entry->second.transfer;
  const CURLcode code = transfer->ReadOn();
  if (code != CURLE_OK) Take(id, transfer->EndExchange(code));
}

void NetworkLoop::QueueDue() {
  const int64_t now_ms = network_.clock.MonotonicMs();
  while (!waiting_.empty() && waiting_.begin()->first <= now_ms) {
    const uint64_t id = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    Entry& entry = transfers_.at(id);
    entry.state = State::kQueued;
    // It has stood in the queue before.
    lanes_.Enqueue(entry.transfer->origin().Key(), entry.transfer->lane(), id,
                   HostLanes::Place::kFirst);
  }
}

void NetworkLoop::StartReady() {
  while (const auto id = lanes_.StartNext()) {
    Entry& entry = transfers_.at(*id);
    entry.state = State::kUnderWay;
    if (auto begun = entry.transfer->BeginAttempt(); !begun) Finish(*id, Fail(begun.error()));
  }
}

void NetworkLoop::ReapEnded() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const uint64_t id = Exchange::IdOf(message->easy_handle);
    const CURLcode code = message->data.result;
    const auto entry = transfers_.find(id);
    if (entry == transfers_.end()) continue;
    const auto transfer = entry->second.transfer;
    Take(id, transfer->EndExchange(code));
  }
}

// Also finds out when to look again.
void NetworkLoop::EndStalled() {
  const int64_t now_ms = network_.clock.MonotonicMs();
  next_stall_ms_.reset();
  std::vector<std::shared_ptr<OngoingTransfer>> stalled;
  for (auto& [id, entry] : transfers_) {
    if (entry.state != State::kUnderWay) continue;
    const auto stalls_at_ms = entry.transfer->StallsAtMs();
    if (!stalls_at_ms) continue;
    if (*stalls_at_ms <= now_ms)
      stalled.push_back(entry.transfer);
    else
      next_stall_ms_ = std::min(next_stall_ms_.value_or(*stalls_at_ms), *stalls_at_ms);
  }
  for (const auto& transfer : stalled) Take(transfer->id(), transfer->EndStalled());
}

void NetworkLoop::Take(uint64_t id, NextStep step) {
  switch (step.kind) {
    case NextStep::Kind::kFinish:
      Finish(id, std::move(step.result));
      return;
    case NextStep::Kind::kRetry:
      WaitForRetry(id, step.delay_ms);
      return;
    case NextStep::Kind::kRedirect:  // it keeps its place
      if (auto begun = transfers_.at(id).transfer->FollowRedirect(); !begun)
        Finish(id, Fail(begun.error()));
      return;
  }
}

void NetworkLoop::WaitForRetry(uint64_t id, int64_t delay_ms) {
  Entry& entry = transfers_.at(id);
  lanes_.Release(entry.transfer->origin().Key(), entry.transfer->lane());
  entry.state = State::kWaiting;
  entry.due_ms = network_.clock.MonotonicMs() + delay_ms;
  waiting_.emplace(entry.due_ms, id);
}

void NetworkLoop::Finish(uint64_t id, Result<TransferStats> result) {
  auto node = transfers_.extract(id);
  if (node.empty()) return;
  const Entry& entry = node.mapped();
  const std::string origin = entry.transfer->origin().Key();
  switch (entry.state) {
    case State::kQueued:
      lanes_.Withdraw(origin, entry.transfer->lane(), id);
      break;
    case State::kUnderWay:
      lanes_.Release(origin, entry.transfer->lane());
      break;
    case State::kWaiting: {
      const auto [first, last] = waiting_.equal_range(entry.due_ms);
      waiting_.erase(std::find_if(first, last, [id](const auto& w) { return w.second == id; }));
      break;
    }
  }
  entry.transfer->Finish(std::move(result));
}

// A handler may start something else when told of the end; that ends likewise.
void NetworkLoop::CancelAll() {
  do {
    RunCommands();
    while (!transfers_.empty())
      Finish(transfers_.begin()->first, Fail(Errc::kCancelled, "the network is shutting down"));
    RunCommands();
  } while (!transfers_.empty());
}

// Pending commands wake the poll by themselves, curl's own timers are known to curl.
int NetworkLoop::PollTimeoutMs() const {
  if (transfers_.empty()) return kIdlePollMs;
  int64_t until_ms = network_.clock.MonotonicMs() + kBusyPollMaxMs;
  if (!waiting_.empty()) until_ms = std::min(until_ms, waiting_.begin()->first);
  if (next_stall_ms_) until_ms = std::min(until_ms, *next_stall_ms_);
  return static_cast<int>(std::max<int64_t>(until_ms - network_.clock.MonotonicMs(), 0));
}

}  // namespace tciafs::http
