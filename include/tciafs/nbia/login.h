// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Beginning and ending a login at an NBIA server. Thread-safe; the references outlive the call,
// `done` comes exactly once, on the executor. No secret is ever part of a message. Errors:
// kUnauthenticated (refused), kUnsupported (the server gives no refresh tokens), kUnavailable and
// those of the transport. Source: RFC 6749, the server's KeycloakGetToken and KeycloakLogout.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "tciafs/http/transport.h"
#include "tciafs/nbia/nbia_source.h"
#include "tciafs/util/executor.h"

namespace tciafs::nbia {

struct LoginPorts {
  http::Transport& transport;
  Executor& executor;
  Scheduler& scheduler;
};

struct LoginGiven {
  Login::State state;
  std::optional<int64_t> life_s;  // without being used; each use begins it anew
};

// For the user name and the password of the options.
void LogIn(const NbiaOptions& options, const LoginPorts& ports, const std::stop_token& stop,
           Callback<LoginGiven> done);

enum class LogoutOutcome {
  kEnded,      // the server takes it no more
  kStillGood,  // the server was asked, and takes it all the same: it ends by itself
};
// The login of the options. kUnauthenticated: it had ended already.
void LogOut(const NbiaOptions& options, const LoginPorts& ports, const std::stop_token& stop,
            Callback<LogoutOutcome> done);

}  // namespace tciafs::nbia
