// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One request and its answer, moved off the network thread: the body is queued (bounded: a reader
// that falls behind pauses the transfer) and read on a strand over the executor. Refusals are
// collected and classified here, so that a BodyReader only ever sees a 200 or 204.
//
// Threads: reader and `done` run on the strand, one after the other; `done` exactly once and last,
// also when the stop token fires (kCancelled). The exchange keeps itself alive until then and
// drops reader and `done` before it ends.
//
// Requests are numbered, from 1 in each process: the log says at level debug when one is sent and
// how it ended, and the message of a refusal that is not of this machine ends with "(request 17)".
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "nbia/answers.h"
#include "tciafs/http/transport.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::nbia {

class BodyReader {
 public:
  virtual ~BodyReader() = default;
  // The request is about to be sent; the log knows it by this number.
  virtual void OnRequest(uint64_t /*request_id*/) {}
  // An answer begins; called again, to forget everything, when a broken transfer starts over.
  virtual void Begin() = 0;
  virtual Status Read(ByteView bytes) = 0;
  // The body is complete.
  virtual Status End() = 0;
  // A transfer that broke after bytes were read may start over.
  virtual bool restartable() const { return false; }
  // A well-formed answer with nothing in it. From a list this may be a refused token in disguise.
  virtual bool empty() const { return false; }
};

// nullopt: the reader got a whole answer and was content.
using ExchangeDone = std::function<void(std::optional<Refusal>)>;

struct ExchangeSpec {
  http::Request request;
  Question question;
  // If positive: silence allowed once the first byte has come (the request's own stall time-out
  // covers the time before).
  int64_t later_silence_ms = 0;
};

struct ExchangePorts {
  http::Transport& transport;
  Executor& executor;
  Scheduler& scheduler;
};

void StartExchange(const ExchangePorts& ports, ExchangeSpec spec,
                   std::shared_ptr<BodyReader> reader, std::stop_token stop, ExchangeDone done);

}  // namespace tciafs::nbia
