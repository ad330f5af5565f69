// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The token of one account at one server: obtained at first need (one request however many
// callers), again shortly before it expires, and again when it was refused; for the password, or
// for the refresh token of a login. Which path works is remembered in ServerMemory. Neither token
// nor password is ever part of a message. A login ends when it is not used for a while, so it is
// used now and then also when nobody wants anything.
//
// Thread-safe. Errors: kUnauthenticated (credentials rejected; remembered for a minute, since
// insisting locks accounts), kUnavailable and those of the transport. Sources: TCIA's API guide v2,
// RFC 6749 sections 4.3 and 6, the server's KeycloakGetToken.java.
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
#include "nbia/token_call.h"
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
  ~OAuth() { StopKeeping(); }
  // Nothing begins by itself any more. Before the calls are stopped and waited for.
  void StopKeeping() { keeper_->Stop(); }

  void Get(const std::shared_ptr<ActiveCall>& call, Callback<Token> done);
  // The server did not accept it: the next Get obtains another, unless that has happened already.
  void Refused(uint64_t generation);
  void Proved(uint64_t generation);
  // It was last seen to work so long ago that an empty answer may mean that it has expired.
  bool Doubtful(uint64_t generation) const;

 private:
  // What a timer holds, which may fire when the object has gone.
  class Keeper {
   public:
    explicit Keeper(OAuth& oauth) : oauth_(&oauth) {}
    // On the scheduler's thread, and then on the executor.
    void Fire(const std::shared_ptr<Keeper>& self) {
      MutexLock lock(mutex_);
      if (oauth_ != nullptr) oauth_->ports_.executor.Post([self] { self->Run(); });
    }
    void Run() {
      MutexLock lock(mutex_);
      if (oauth_ != nullptr) oauth_->KeepAlive();
    }
    void Stop() {
      MutexLock lock(mutex_);
      oauth_ = nullptr;
    }

   private:
    Mutex mutex_;
    OAuth* oauth_ TCIAFS_GUARDED_BY(mutex_);
  };

  void KeepAfter(int64_t delay_ms);
  void ObtainByPassword(const std::shared_ptr<ActiveCall>& call);
  void ObtainByLogin(const std::shared_ptr<ActiveCall>& call, int logins_tried);
  size_t KnownPath() const;
  void KeepAlive();
  void Accept(const TokenGiven& given);
  void FailAll(const Error& error);

  const Endpoints& endpoints_;
  const ExchangePorts ports_;
  ServerMemory& memory_;
  const Clock& clock_;
  ActiveCalls& calls_;
  const std::string memory_key_;
  SharedAnswer<Token> waiting_;
  const std::shared_ptr<Keeper> keeper_ = std::make_shared<Keeper>(*this);

  mutable Mutex mutex_;
  Token token_ TCIAFS_GUARDED_BY(mutex_);
  int64_t renew_at_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int64_t proved_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  uint64_t last_generation_ TCIAFS_GUARDED_BY(mutex_) = 0;
  std::optional<Error> rejection_ TCIAFS_GUARDED_BY(mutex_);
  int64_t rejected_until_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
  int64_t keep_due_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;     // when the login has to be used; 0: never
  std::string rejected_login_ TCIAFS_GUARDED_BY(mutex_);  // a newer one is tried at once
};

}  // namespace tciafs::nbia
