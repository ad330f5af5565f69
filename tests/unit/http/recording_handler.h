// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A ResponseHandler that remembers all it was told and lets a test wait for it. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "tciafs/http/transport.h"

namespace tciafs::testing {

class RecordingHandler final : public http::ResponseHandler {
 public:
  // Set before Start; called on the network thread.
  std::function<Status(const http::ResponseHead&)> on_head;
  std::function<Status(ByteView)> on_data;
  std::function<void()> on_done;
  bool restarts = false;

  Status OnHead(const http::ResponseHead& head) override {
    {
      std::lock_guard lock(mutex_);
      head_ = head;
      ++heads_;
    }
    changed_.notify_all();
    return on_head ? on_head(head) : Status();
  }
  Status OnData(ByteView bytes) override {
    {
      std::lock_guard lock(mutex_);
      body_ += AsText(bytes);
      if (result_) ++calls_after_done_;
    }
    changed_.notify_all();
    return on_data ? on_data(bytes) : Status();
  }
  bool OnRestart() override {
    std::lock_guard lock(mutex_);
    if (restarts) body_.clear();
    return restarts;
  }
  void OnDone(Result<http::TransferStats> result) override {
    if (on_done) on_done();
    // Notified under the lock: the waiting test may destroy everything right after.
    std::lock_guard lock(mutex_);
    if (result_) ++calls_after_done_;
    result_ = std::move(result);
    done_thread_ = std::this_thread::get_id();
    changed_.notify_all();
  }

  // A failure "test: no end" where OnDone does not come.
  Result<http::TransferStats> Wait(std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, limit, [this] { return result_.has_value(); }))
      return Fail(Errc::kInternal, "test: no end");
    return *result_;
  }
  bool WaitForBody(size_t bytes) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return body_.size() >= bytes; });
  }
  bool done() const {
    std::lock_guard lock(mutex_);
    return result_.has_value();
  }
  http::ResponseHead head() const {
    std::lock_guard lock(mutex_);
    return head_;
  }
  int heads() const {
    std::lock_guard lock(mutex_);
    return heads_;
  }
  std::string body() const {
    std::lock_guard lock(mutex_);
    return body_;
  }
  int calls_after_done() const {
    std::lock_guard lock(mutex_);
    return calls_after_done_;
  }
  std::thread::id done_thread() const {
    std::lock_guard lock(mutex_);
    return done_thread_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  http::ResponseHead head_;
  int heads_ = 0;
  std::string body_;
  std::optional<Result<http::TransferStats>> result_;
  int calls_after_done_ = 0;
  std::thread::id done_thread_;
};

}  // namespace tciafs::testing
