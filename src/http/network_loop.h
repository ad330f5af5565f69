// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The network thread: one curl multi handle, the transfers in all their states, and the waits
// between attempts. A transfer is queued for a place in its lane, under way, or waiting for its
// next attempt (without a place). Start and the destructor may be called from any thread but the
// loop's own; the rest runs on the loop's thread.
#pragma once

#include <curl/curl.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>

#include "http/command_queue.h"
#include "http/host_lanes.h"
#include "http/ongoing_transfer.h"
#include "http/retry.h"
#include "tciafs/http/curl_transport.h"

namespace tciafs::http {

class NetworkLoop {
 public:
  // Takes over `multi`.
  NetworkLoop(CurlOptions options, CURLM* multi, uint64_t random_seed);
  // Every transfer ends with kCancelled before this returns.
  ~NetworkLoop();
  NetworkLoop(const NetworkLoop&) = delete;
  NetworkLoop& operator=(const NetworkLoop&) = delete;

  std::shared_ptr<Transfer> Start(Request request, std::shared_ptr<ResponseHandler> handler);

 private:
  enum class State { kQueued, kUnderWay, kWaiting };
  struct Entry {
    std::shared_ptr<OngoingTransfer> transfer;
    State state = State::kQueued;
    int64_t due_ms = 0;  // kWaiting
  };

  void Run();
  void Turn();
  void RunCommands();
  void Admit(std::shared_ptr<OngoingTransfer> transfer);
  void ReadOn(uint64_t id);
  void QueueDue();
  void StartReady();
  void ReapEnded();
  void EndStalled();
  void Take(uint64_t id, NextStep step);
  void WaitForRetry(uint64_t id, int64_t delay_ms);
  void Finish(uint64_t id, Result<TransferStats> result);
  void CancelAll();
  int PollTimeoutMs() const;

  const CurlOptions options_;
  CURLM* const multi_;
  const std::shared_ptr<CommandQueue> commands_;
  std::atomic<uint64_t> next_id_ = 1;

  // The network thread's own from here on.
  Backoff backoff_;
  const NetworkContext network_;
  HostLanes lanes_;
  std::unordered_map<uint64_t, Entry> transfers_;
  std::multimap<int64_t, uint64_t> waiting_;  // due time to id
  std::optional<int64_t> next_stall_ms_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace tciafs::http
