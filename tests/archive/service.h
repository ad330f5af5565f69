// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The test archive's web service without its web server: which endpoint a path is, who may call
// it, with which parameters, and what a fault plan makes of it. Requests come from many threads at
// once. Holdings, plan, counters and tokens are owned; the clock is borrowed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "call.h"
#include "counters.h"
#include "exchange.h"
#include "faults.h"
#include "holdings.h"
#include "kept_replies.h"
#include "tokens.h"

namespace tciafs::archive {

struct Endpoint;  // a row of the table of endpoints

class Service {
 public:
  Service(std::unique_ptr<Holdings> holdings, ServiceOptions options, TokenOptions token_options,
          const Clock& clock);

  Reply Handle(const Request& request);

  FaultPlan& plan() { return plan_; }

 private:
  Reply Answer(const Endpoint& endpoint, const Request& request, const Faults& faults);
  // Settles who asks, or gives the reply to somebody who may not.
  std::optional<Reply> Admit(const Endpoint& endpoint, const Request& request, Viewer& viewer);
  const Endpoint* Find(const std::string& path) const;
  Reply Unknown(const std::string& path) const;

  const std::unique_ptr<Holdings> holdings_;
  const ServiceOptions options_;
  TokenStore tokens_;
  FaultPlan plan_;
  Counters counters_;
  KeptReplies kept_replies_;
  std::atomic<uint64_t> requests_{0};
};

}  // namespace tciafs::archive
