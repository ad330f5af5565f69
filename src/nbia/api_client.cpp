// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/api_client.h"

#include <utility>

namespace tciafs::nbia {

// One call on its way; lives until its `done`.
struct ApiClient::Sending {
  std::shared_ptr<ActiveCall> call;
  ApiCall api_call;
  std::shared_ptr<BodyReader> reader;
  ExchangeDone done;
  bool token_renewed = false;
};

ApiClient::ApiClient(const Endpoints& endpoints, const ExchangePorts& ports, ServerMemory& memory,
                     const Clock& clock, ActiveCalls& calls)
    : ports_(ports), oauth_(endpoints, ports, memory, clock, calls) {}

void ApiClient::Send(const std::shared_ptr<ActiveCall>& call, ApiCall api_call,
                     std::shared_ptr<BodyReader> reader, ExchangeDone done) {
  auto sending = std::make_shared<Sending>();
  sending->call = call;
  sending->api_call = std::move(api_call);
  sending->reader = std::move(reader);
  sending->done = std::move(done);
  if (sending->api_call.authorization == Authorization::kToken) return SendWithToken(sending);
  const bool guest = sending->api_call.authorization == Authorization::kGuest;
  Start(sending, guest ? "Bearer undefined" : "",
        [sending](std::optional<Refusal> refusal) { sending->done(std::move(refusal)); });
}

void ApiClient::SendForRows(const std::shared_ptr<ActiveCall>& call, ApiCall api_call,
                            RowReader::Spec rows, ExchangeDone done) {
  rows.question = api_call.question;
  Send(call, std::move(api_call), std::make_shared<RowReader>(std::move(rows)), std::move(done));
}

void ApiClient::SendWithToken(const std::shared_ptr<Sending>& sending) {
  oauth_.Get(sending->call, [this, sending](Result<Token> token) {
    if (!token) {
      Refusal refusal;
      refusal.error = token.error();
      refusal.status = 401;  // no token, no answer
      return sending->done(std::move(refusal));
    }
    const auto generation = token->generation;
    Start(sending, "Bearer " + token->text,
          [this, sending, generation](std::optional<Refusal> refusal) {
            EndWithToken(sending, generation, std::move(refusal));
          });
  });
}

void ApiClient::EndWithToken(const std::shared_ptr<Sending>& sending, uint64_t generation,
                             std::optional<Refusal> refusal) {
  // A 403 may mean an expired token or a thing this account may not have; if the token worked just
  // now, it is the thing.
  const bool forbidden = refusal && refusal->status == 403 && !oauth_.Doubtful(generation);
  const bool refused = refusal && refusal->token_refused && !forbidden;
  const bool empty = !refusal && sending->reader->empty();
  const bool doubtful = refused || (empty && oauth_.Doubtful(generation));
  // A second refusal is not the token's fault: others go on with it.
  if (doubtful && !std::exchange(sending->token_renewed, true)) {
    oauth_.Refused(generation);
    return SendWithToken(sending);
  }
  if (!refusal && !empty) oauth_.Proved(generation);
  sending->done(std::move(refusal));
}

void ApiClient::Start(const std::shared_ptr<Sending>& sending, const std::string& authorization,
                      ExchangeDone done) {
  const Question& question = sending->api_call.question;
  ExchangeSpec spec{sending->api_call.request, question, sending->api_call.later_silence_ms};
  if (!authorization.empty()) spec.request.headers.emplace_back("Authorization", authorization);
  auto end = [reader = sending->reader, done = std::move(done)](std::optional<Refusal> refusal) {
    if (refusal && refusal->means_empty) {
      reader->Begin();
      refusal.reset();
      if (const Status ended = reader->End(); !ended) refusal = Refusal{ended.error()};
    }
    done(std::move(refusal));
  };
  StartExchange(ports_, std::move(spec), sending->reader, sending->call->stop(), std::move(end));
}

}  // namespace tciafs::nbia
