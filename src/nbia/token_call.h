// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Asking a server for a token, at whichever of the two known paths it has that call. Neither token
// nor password is ever part of a message. Thread-safe; the references outlive the call, `done`
// comes exactly once, on the executor. Errors: kUnauthenticated (refused), kUnavailable and those
// of the transport. Source: RFC 6749 sections 4.3 and 6.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "nbia/endpoints.h"
#include "nbia/exchange.h"
#include "nbia/json_values.h"

namespace tciafs::nbia {

struct TokenGiven {
  TokenAnswer answer;
  size_t path = 0;        // that worked
  std::string client_id;  // for which a refresh token is good
};
using TokenDone = std::function<void(Result<TokenGiven>)>;

// `path` is tried first.
void AskForToken(const Endpoints& endpoints, const ExchangePorts& ports, const TokenGrant& grant,
                 size_t path, const std::stop_token& stop, TokenDone done);

// For a refresh token: in the name of each client it may have been given to, until one is right.
void AskForTokenAgain(const Endpoints& endpoints, const ExchangePorts& ports,
                      const Login::State& login, size_t path, const std::stop_token& stop,
                      TokenDone done);

}  // namespace tciafs::nbia
