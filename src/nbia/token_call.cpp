// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/token_call.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "nbia/limits.h"
#include "nbia/readers.h"

namespace tciafs::nbia {
namespace {

// Servers are set up with either; Keycloak takes the case of letters seriously.
constexpr const char* kUsualClients[] = {"NBIA", "nbia"};

// A token with a line break in it would smuggle in a header.
bool IsHeaderSafe(const std::string& token) {
  return !token.empty() && token.size() <= kTokenBytesMax &&
         std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
}

struct TokenCall {
  const Endpoints& endpoints;
  const ExchangePorts ports;
  const TokenGrant grant;
  const std::stop_token stop;
  const TokenDone done;
};

void TryPath(const std::shared_ptr<TokenCall>& call, size_t path, size_t paths_tried);

void Judge(const std::shared_ptr<TokenCall>& call, size_t path, size_t paths_tried,
           const std::string& body, const std::optional<Refusal>& refusal) {
  auto answer = ParseTokenAnswer(body);
  if (!refusal && answer && IsHeaderSafe(answer->access_token)) {
    if (!IsHeaderSafe(answer->refresh_token)) answer->refresh_token.clear();
    std::string client = answer->client_id;
    if (!IsHeaderSafe(client)) client = call->grant.refresh.client_id;
    return call->done(TokenGiven{*std::move(answer), path, std::move(client)});
  }
  // A portal answers a path it does not know with its front page.
  const bool elsewhere = !refusal || refusal->no_such_path;
  if (elsewhere && paths_tried < Endpoints::kTokenPaths)
    return TryPath(call, (path + 1) % Endpoints::kTokenPaths, paths_tried + 1);
  const auto question = call->endpoints.Token(path, call->grant).question;
  const Error error = refusal ? refusal->error : ReadWrongBody(question, "a token", body);
  const bool with_account = !call->endpoints.anonymous();
  call->done(Fail(refusal && elsewhere ? NoApiHere(question.host, with_account, error) : error));
}

void TryPath(const std::shared_ptr<TokenCall>& call, size_t path, size_t paths_tried) {
  ApiCall api_call = call->endpoints.Token(path, call->grant);
  auto reader = std::make_shared<SmallBodyReader>(api_call.question, kSmallBodyBytesMax);
  ExchangeSpec spec{std::move(api_call.request), api_call.question, 0};
  StartExchange(call->ports, std::move(spec), reader, call->stop,
                [call, reader, path, paths_tried](const std::optional<Refusal>& refusal) {
                  Judge(call, path, paths_tried, reader->body(), refusal);
                });
}

struct RefreshCall {
  const Endpoints& endpoints;
  const ExchangePorts ports;
  const std::string refresh_token;
  const size_t path;
  const std::stop_token stop;
  const TokenDone done;
  std::vector<std::string> clients;  // still to be tried, the next one last
};

void TryClient(const std::shared_ptr<RefreshCall>& call) {
  TokenGrant grant;
  grant.refresh = {call->refresh_token, call->clients.back()};
  call->clients.pop_back();
  AskForToken(call->endpoints, call->ports, grant, call->path, call->stop,
              [call](Result<TokenGiven> given) {
                const bool refused = !given && given.error().code == Errc::kUnauthenticated;
                if (refused && !call->clients.empty()) return TryClient(call);
                call->done(std::move(given));
              });
}

}  // namespace

void AskForToken(const Endpoints& endpoints, const ExchangePorts& ports, const TokenGrant& grant,
                 size_t path, const std::stop_token& stop, TokenDone done) {
  TryPath(std::make_shared<TokenCall>(TokenCall{endpoints, ports, grant, stop, std::move(done)}),
          path, 1);
}

void AskForTokenAgain(const Endpoints& endpoints, const ExchangePorts& ports,
                      const Login::State& login, size_t path, const std::stop_token& stop,
                      TokenDone done) {
  std::vector<std::string> clients;
  for (const char* usual : kUsualClients)
    if (login.client_id != usual) clients.insert(clients.begin(), usual);
  if (!login.client_id.empty()) clients.push_back(login.client_id);
  TryClient(std::make_shared<RefreshCall>(RefreshCall{endpoints, ports, login.refresh_token, path,
                                                      stop, std::move(done), std::move(clients)}));
}

}  // namespace tciafs::nbia
