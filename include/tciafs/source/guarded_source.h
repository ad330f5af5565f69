// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A circuit breaker around any Source: once its server does not answer, calls are refused at once
// with kUnreachable and the reason, in place of each waiting for a time-out of its own, until the
// server is back, which is found out without anybody waiting for it.
//
//             a call failed             it does not answer the question
//      ok ───────────────────► failing ───────────────────────────────► offline
//      ▲   anything was delivered │                                          │
//      └──────────────────────────┴──────────────────────────────────────────┘
//
// Calls of one object that fail (kUnavailable, kTimedOut) may be the object's fault: they raise a
// suspicion, and the server is asked the cheapest question there is, for its collections. If that
// fails too, several times in a row, or is not answered in time, the server counts as offline, and
// calls that wait for it are ended. Where the server itself asks for patience (kThrottled) it gets
// it at once. An offline server is asked again after pauses that double, or when it said so, and
// the first answer to anything ends the matter. When nobody has wanted anything of it for long, it
// is left alone; the next call is then let through, and waits no longer than the question.
//
// Becoming offline and coming back are logged once each. Thread-safe, and as a Source: callbacks
// may come before the call returns. The references are borrowed and outlive it.
#pragma once

#include <memory>

#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::source {

struct GuardOptions {
  bool offline = false;  // refuse everything, with kOffline, and never ask
  // A suspected server that has not answered for so long is offline. (It is still listened to: some
  // are only slow.)
  int64_t silence_ms = 10'000;
  // A server stumbles now and then: so many questions in a row have to fail, half of the first
  // pause apart.
  int questions = 2;
  int64_t retry_first_ms = 1'000;  // with a quarter of jitter either way
  int64_t retry_max_ms = 60'000;
  // Servers ask for hours of patience and are back in a minute: what is asked for is granted up to
  // this, twice as much each time it is asked for again.
  int64_t retry_after_first_ms = 20'000;
  int64_t retry_after_max_ms = 900'000;
  // A server that answered the question is not asked it again before, whatever fails.
  int64_t cleared_ms = 10'000;
  int64_t idle_ms = 900'000;  // wanted by nobody for so long: left alone
};

std::unique_ptr<Source> CreateGuardedSource(std::unique_ptr<Source> source,
                                            const GuardOptions& options, const Clock& clock,
                                            Executor& executor, Scheduler& scheduler);

}  // namespace tciafs::source
