// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the server's logout does with a refresh token depends on how it is set up, and its answer
// tells nothing of it: whether the login has ended shows when it is used once more.
#include "tciafs/nbia/login.h"

#include <memory>
#include <utility>

#include "nbia/endpoints.h"
#include "nbia/limits.h"
#include "nbia/readers.h"
#include "nbia/token_call.h"

namespace tciafs::nbia {
namespace {

struct Parting {
  const Endpoints endpoints;
  const ExchangePorts ports;
  const std::stop_token stop;
  const Callback<LogoutOutcome> done;
  Login::State state;
  size_t path = 0;
};

void TryOnceMore(const std::shared_ptr<Parting>& parting) {
  AskForTokenAgain(parting->endpoints, parting->ports, parting->state, parting->path, parting->stop,
                   [parting](const Result<TokenGiven>& given) {
                     if (given) return parting->done(LogoutOutcome::kStillGood);
                     if (given.error().code == Errc::kUnauthenticated)
                       return parting->done(LogoutOutcome::kEnded);
                     parting->done(Fail(given.error()));
                   });
}

void AskToEnd(const std::shared_ptr<Parting>& parting, const std::string& access_token,
              size_t path) {
  ApiCall call = parting->endpoints.Logout(path, parting->state);
  call.request.headers.emplace_back("Authorization", "Bearer " + access_token);
  auto reader = std::make_shared<SmallBodyReader>(call.question, kSmallBodyBytesMax);
  ExchangeSpec spec{std::move(call.request), call.question, 0};
  StartExchange(parting->ports, std::move(spec), reader, parting->stop,
                [parting, access_token, path](const std::optional<Refusal>& refusal) {
                  const bool elsewhere = refusal && refusal->status != 0;
                  if (elsewhere && path + 1 < Endpoints::kTokenPaths)
                    return AskToEnd(parting, access_token, path + 1);
                  TryOnceMore(parting);
                });
}

}  // namespace

void LogIn(const NbiaOptions& options, const LoginPorts& ports, const std::stop_token& stop,
           Callback<LoginGiven> done) {
  const auto endpoints = std::make_shared<Endpoints>(options);
  AskForToken(
      *endpoints, {ports.transport, ports.executor, ports.scheduler}, {}, 0, stop,
      [endpoints, done = std::move(done)](const Result<TokenGiven>& given) {
        if (!given) return done(Fail(given.error()));
        if (given->answer.refresh_token.empty())
          return done(Fail(Errc::kUnsupported, endpoints->host() + ": gives no tokens that last"));
        done(LoginGiven{{given->answer.refresh_token, given->client_id},
                        given->answer.refresh_expires_in_s});
      });
}

void LogOut(const NbiaOptions& options, const LoginPorts& ports, const std::stop_token& stop,
            Callback<LogoutOutcome> done) {
  const auto parting =
      std::make_shared<Parting>(Parting{Endpoints(options),
                                        {ports.transport, ports.executor, ports.scheduler},
                                        stop,
                                        std::move(done),
                                        options.credentials.login->Load(),
                                        0});
  AskForTokenAgain(parting->endpoints, parting->ports, parting->state, 0, stop,
                   [parting](const Result<TokenGiven>& given) {
                     if (!given) return parting->done(Fail(given.error()));
                     parting->path = given->path;
                     if (!given->answer.refresh_token.empty())
                       parting->state.refresh_token = given->answer.refresh_token;
                     parting->state.client_id = given->client_id;
                     AskToEnd(parting, given->answer.access_token, 0);
                   });
}

}  // namespace tciafs::nbia
