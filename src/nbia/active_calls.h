// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The calls of a source that are under way: each has a stop token that fires when its caller asks
// for it or when the source goes away, and the source's destructor waits for all of them.
//
// Thread-safe. A call is under way as long as anybody holds its ActiveCall: everything that will
// still touch the source captures one.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "tciafs/util/mutex.h"

namespace tciafs::nbia {

class ActiveCalls;

class ActiveCall {
 public:
  ~ActiveCall();
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;
  std::stop_token stop() const { return source_.get_token(); }

 private:
  friend class ActiveCalls;
  struct Forward {
    std::stop_source source;
    // The copy outlives the call, which may end while its stop is being requested.
    void operator()() const {
      auto stopped = source;
      stopped.request_stop();
    }
  };
  struct Registry;
  explicit ActiveCall(std::shared_ptr<Registry> registry) : registry_(std::move(registry)) {}

  const std::shared_ptr<Registry> registry_;
  std::stop_source source_;
  std::optional<std::stop_callback<Forward>> forward_;
  std::list<std::stop_source>::iterator place_;
};

class ActiveCalls {
 public:
  ActiveCalls();
  // After StopAndWait began, calls begin with their stop already requested.
  std::shared_ptr<ActiveCall> Begin(const std::stop_token& stop);
  void StopAndWait();

 private:
  const std::shared_ptr<ActiveCall::Registry> registry_;
};

}  // namespace tciafs::nbia
