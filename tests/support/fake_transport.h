// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A scripted http::Transport: rules say which request gets which answer; every request is recorded.
// Answers are delivered step by step on an Executor that plays the network thread (head, one piece
// of the body per step, end), honouring Pause and Cancel as the real one does. A request no rule
// knows gets what an NBIA server says to a wrong path. Retries are not played: one request, one
// answer. Thread-safe if its executor is.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/http/transport.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/mutex.h"

namespace tciafs::testing {

struct FakeAnswer {
  int status = 200;
  std::vector<std::string> pieces = {};
  http::Headers headers = {};
  std::optional<Error> before_head = {};  // no answer at all
  std::optional<Error> after_body = {};   // the connection breaks
  bool restart = false;  // with after_body: asks OnRestart, then plays `pieces` again
  bool hang = false;     // after the pieces: neither byte nor end, until cancelled
};

inline FakeAnswer Body(std::string body) { return {.pieces = {std::move(body)}}; }
inline FakeAnswer EmptyBody() { return {}; }
inline FakeAnswer StatusAnswer(int status, std::string body) {
  return {.status = status, .pieces = {std::move(body)}};
}

class FakeTransport final : public http::Transport {
 public:
  explicit FakeTransport(Executor& network) : network_(network) {}

  // The first rule whose parts occur in the request's URL, body and headers answers; one that has
  // answered `times` no longer does.
  struct Rule {
    std::string url_part = {};
    FakeAnswer answer = {};
    std::string body_part = {};
    std::string header_part = {};  // "Name: value" of a request header
    int times = -1;                // -1: for ever
  };
  void When(std::string url_part, FakeAnswer answer, int times = -1) {
    Add({std::move(url_part), std::move(answer), "", "", times});
  }
  void Add(Rule rule) {
    MutexLock lock(mutex_);
    rules_.push_back(std::move(rule));
  }
  void Forget() {
    MutexLock lock(mutex_);
    rules_.clear();
  }

  std::vector<http::Request> Requests(const std::string& url_part = "") const {
    MutexLock lock(mutex_);
    std::vector<http::Request> found;
    for (const auto& request : requests_)
      if (request.url.find(url_part) != std::string::npos) found.push_back(request);
    return found;
  }
  size_t Count(const std::string& url_part = "") const { return Requests(url_part).size(); }
  int pauses() const {
    MutexLock lock(mutex_);
    return pauses_;
  }

  std::shared_ptr<http::Transfer> Start(http::Request request,
                                        std::shared_ptr<http::ResponseHandler> handler) override {
    auto transfer = std::make_shared<FakeTransfer>(*this, AnswerTo(request), std::move(handler));
    transfer->PostStep();
    return transfer;
  }

 private:
  class FakeTransfer final : public http::Transfer,
                             public std::enable_shared_from_this<FakeTransfer> {
   public:
    FakeTransfer(FakeTransport& transport, FakeAnswer answer,
                 std::shared_ptr<http::ResponseHandler> handler)
        : transport_(transport),
          strand_(Strand::Create(transport.network_)),
          answer_(std::move(answer)),
          handler_(std::move(handler)) {}

    void Cancel() override {
      {
        MutexLock lock(mutex_);
        cancelled_ = true;
      }
      PostStep();
    }
    void Pause() override {
      {
        MutexLock lock(transport_.mutex_);
        ++transport_.pauses_;
      }
      MutexLock lock(mutex_);
      paused_ = true;
    }
    void Resume() override {
      {
        MutexLock lock(mutex_);
        paused_ = false;
      }
      PostStep();
    }
    void PostStep() {
      strand_->Post([self = shared_from_this()] { self->Step(); });
    }

   private:
    // On the strand: one event, then posts itself for the next.
    void Step() {
      if (!handler_) return;
      bool cancelled = false;
      {
        MutexLock lock(mutex_);
        cancelled = cancelled_;
        if (paused_ && !cancelled) return;
      }
      if (cancelled) return End(Fail(Errc::kCancelled, "cancelled"));
      if (answer_.before_head) return End(Fail(*answer_.before_head));
      if (!head_sent_) {
        head_sent_ = true;
        const Status status = handler_->OnHead({answer_.status, answer_.headers});
        if (!status) return End(Fail(status.error()));
        return PostStep();
      }
      if (next_piece_ < answer_.pieces.size()) {
        const std::string& piece = answer_.pieces[next_piece_++];
        sent_bytes_ += static_cast<int64_t>(piece.size());
        const Status status = piece.empty() ? Status() : handler_->OnData(AsBytes(piece));
        if (!status) return End(Fail(status.error()));
        return PostStep();
      }
      if (answer_.hang) return;
      if (!answer_.after_body) return End(http::TransferStats{sent_bytes_, 1});
      if (answer_.restart && handler_->OnRestart()) {
        answer_.after_body.reset();
        head_sent_ = false;
        next_piece_ = 0;
        return PostStep();
      }
      End(Fail(*answer_.after_body));
    }
    void End(Result<http::TransferStats> result) {
      const auto handler = std::move(handler_);
      handler_ = nullptr;
      handler->OnDone(std::move(result));
    }

    FakeTransport& transport_;
    const std::shared_ptr<Strand> strand_;
    Mutex mutex_;
    bool cancelled_ TCIAFS_GUARDED_BY(mutex_) = false;
    bool paused_ TCIAFS_GUARDED_BY(mutex_) = false;
    // Confined to the strand.
    FakeAnswer answer_;
    std::shared_ptr<http::ResponseHandler> handler_;
    bool head_sent_ = false;
    size_t next_piece_ = 0;
    int64_t sent_bytes_ = 0;
  };

  static bool HasHeader(const http::Request& request, const std::string& part) {
    return part.empty() ||
           std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
             return (header.first + ": " + header.second).find(part) != std::string::npos;
           });
  }

  FakeAnswer AnswerTo(const http::Request& request) {
    MutexLock lock(mutex_);
    requests_.push_back(request);
    for (auto& rule : rules_) {
      if (rule.times == 0 || request.url.find(rule.url_part) == std::string::npos ||
          request.body.find(rule.body_part) == std::string::npos ||
          !HasHeader(request, rule.header_part))
        continue;
      if (rule.times > 0) --rule.times;
      return rule.answer;
    }
    return StatusAnswer(500, "Server was not able to process your request\nHTTP 404 Not Found");
  }

  Executor& network_;
  mutable Mutex mutex_;
  std::vector<Rule> rules_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<http::Request> requests_ TCIAFS_GUARDED_BY(mutex_);
  int pauses_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::testing
