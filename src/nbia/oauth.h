// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The token of one account at one server: obtained at first need (one request however many
// callers), again shortly before it expires, and again when it was refused. Two paths are known
// for the call; which one works is remembered in ServerMemory. Neither token nor password is ever
// part of a message.
//
// Thread-safe. Errors: kUnauthenticated (credentials rejected; remembered for a minute, since
// insisting locks accounts), kUnavailable and those of the transport. Sources: TCIA's API guide v2,
// RFC 6749 section 4.3, the server's KeycloakGetToken.java.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "nbia/active_calls.h"
#include "nbia/endpoints.h"
#include "nbia/exchange.h"
#include "nbia/json_values.h"
#include "nbia/shared_answer.h"
#include "tciafs/util/clock.h"

namespace tciafs::nbia {

struct Token {
  std::string text;
  uint64_t generation = 0;
};

class OAuth {
 public:
  OAuth(const Endpoints& endpoints, const ExchangePorts& ports, ServerMemory& memory,
        const Clock& clock, ActiveCalls& calls);

  void Get(const std::shared_ptr<ActiveCall>& call, Callback<Token> done);
  // The server did not accept it: the next Get obtains another, unless that has happened already.
  void Refused(uint64_t generation);
  void Proved(uint64_t generation);
  // It was last seen to work so long ago that an empty answer may mean that it has expired.
  bool Doubtful(uint64_t generation) const;

 private:
  void Obtain(std::shared_ptr<ActiveCall> call, size_t path, size_t paths_tried);
  void Accept(size_t path, const TokenAnswer& answer);
  void FailAll(const Error& error);

  const Endpoints& endpoints_;
  const ExchangePorts ports_;
  ServerMemory& memory_;
  const Clock& clock_;
  ActiveCalls& calls_;
  const std::string memory_key_;
  SharedAnswer<Token> waiting_;

  mutable Mutex mutex_;
  Token token_ TCIAFS_GUARDED_BY(mutex_);
  int64_t renew_at_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int64_t proved_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  uint64_t last_generation_ TCIAFS_GUARDED_BY(mutex_) = 0;
  std::optional<Error> rejection_ TCIAFS_GUARDED_BY(mutex_);
  int64_t rejected_until_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::nbia
