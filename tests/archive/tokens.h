// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// OAuth as an NBIA server offers it through its Keycloak: the password and the refresh grant, and
// the reading of Authorization headers. Tokens live in memory only. Thread-safe; the clock is
// borrowed.
// Source: NBIA's KeycloakGetToken and its REST guides; RFC 6749 sections 4.3, 5 and 6.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "exchange.h"
#include "holdings.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"

namespace tciafs::archive {

struct TokenOptions {
  std::map<std::string, std::string> passwords;  // by user; the guest needs none
  int64_t life_s = 7200;
  int64_t refresh_life_s = 7200;
  std::string client_id;  // the only one the refresh grant takes; "": NBIA in any case of letters
};

// Who an Authorization header is.
struct Identity {
  enum class Kind { kAbsent, kMalformed, kRejected, kKnown };
  Kind kind = Kind::kAbsent;
  Viewer viewer;
};

class TokenStore {
 public:
  TokenStore(TokenOptions options, const Clock& clock)
      : options_(std::move(options)), clock_(clock) {}

  Reply Grant(const Request& request);   // POST oauth/token
  Reply Logout(const Request& request);  // forgets the token in the header, and its refresh token
  Identity Identify(const std::optional<std::string>& authorization) const;
  void ExpireAll();

 private:
  struct Session {
    Viewer viewer;
    int64_t expires_ms = 0;
    int64_t refresh_expires_ms = 0;
    std::string refresh_token;
  };

  Reply GrantByPassword(const Request& request);
  Reply GrantByRefresh(const Request& request);
  Reply Issue(const Viewer& viewer) TCIAFS_REQUIRES(mutex_);
  void ForgetExpired() TCIAFS_REQUIRES(mutex_);

  const TokenOptions options_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, Session> sessions_ TCIAFS_GUARDED_BY(mutex_);  // by access token
  uint64_t issued_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::archive
