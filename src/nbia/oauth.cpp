// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/oauth.h"

#include <algorithm>
#include <utility>

#include "nbia/limits.h"
#include "nbia/readers.h"
#include "tciafs/util/log.h"

namespace tciafs::nbia {
namespace {

// A token with a line break in it would smuggle in a header.
bool IsHeaderSafe(const std::string& token) {
  return !token.empty() && token.size() <= kTokenBytesMax &&
         std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; });
}

int64_t LifeMs(const TokenAnswer& answer) {
  if (!answer.expires_in_s) return kTokenLifeDefaultMs;
  return std::min(*answer.expires_in_s, kTokenLifeMaxMs / 1000) * 1000;
}

}  // namespace

OAuth::OAuth(const Endpoints& endpoints, const ExchangePorts& ports, ServerMemory& memory,
             const Clock& clock, ActiveCalls& calls)
    : endpoints_(endpoints),
      ports_(ports),
      memory_(memory),
      clock_(clock),
      calls_(calls),
      memory_key_("token_path|" + endpoints.root_url()),
      waiting_(ports.executor) {}

void OAuth::Get(const std::shared_ptr<ActiveCall>& call, Callback<Token> done) {
  std::optional<Result<Token>> at_hand;
  {
    MutexLock lock(mutex_);
    const int64_t now_ms = clock_.MonotonicMs();
    if (!token_.text.empty() && now_ms < renew_at_ms_)
      at_hand = token_;
    else if (rejection_ && now_ms < rejected_until_ms_)
      at_hand = Fail(*rejection_);
  }
  if (at_hand) return done(std::move(*at_hand));
  auto keep_call = [call, done = std::move(done)](Result<Token> token) { done(std::move(token)); };
  if (!waiting_.Join(call->stop(), std::move(keep_call))) return;
  Obtain(calls_.Begin({}), memory_.Load(memory_key_) == "services/oauth/token" ? 1 : 0, 1);
}

void OAuth::Refused(uint64_t generation) {
  MutexLock lock(mutex_);
  if (token_.generation == generation) token_ = {};
}

void OAuth::Proved(uint64_t generation) {
  MutexLock lock(mutex_);
  if (token_.generation == generation) proved_ms_ = clock_.MonotonicMs();
}

bool OAuth::Doubtful(uint64_t generation) const {
  MutexLock lock(mutex_);
  return token_.generation != generation || clock_.MonotonicMs() - proved_ms_ > kTokenProofMs;
}

void OAuth::Obtain(std::shared_ptr<ActiveCall> call, size_t path, size_t paths_tried) {
  ApiCall token_call = endpoints_.Token(path);
  auto reader = std::make_shared<SmallBodyReader>(token_call.question, kSmallBodyBytesMax);
  ExchangeSpec spec{std::move(token_call.request), token_call.question, 0};
  const auto stop = call->stop();
  StartExchange(
      ports_, std::move(spec), reader, stop,
      [this, call = std::move(call), reader, path, paths_tried](std::optional<Refusal> refusal) {
        const auto answer = ParseTokenAnswer(reader->body());
        const bool usable = !refusal && answer && IsHeaderSafe(answer->access_token);
        if (usable) return Accept(path, *answer);
        // A portal answers a path it does not know with its front page.
        const bool elsewhere = !refusal || refusal->no_such_path;
        if (elsewhere && paths_tried < Endpoints::kTokenPaths)
          return Obtain(call, (path + 1) % Endpoints::kTokenPaths, paths_tried + 1);
        const auto question = endpoints_.Token(path).question;
        FailAll(refusal ? refusal->error : ReadWrongBody(question, "a token", reader->body()));
      });
}

void OAuth::Accept(size_t path, const TokenAnswer& answer) {
  memory_.Save(memory_key_, path == 0 ? "oauth/token" : "services/oauth/token");
  Token token;
  {
    MutexLock lock(mutex_);
    const int64_t life_ms = LifeMs(answer);
    token_ = {answer.access_token, ++last_generation_};
    renew_at_ms_ = clock_.MonotonicMs() + life_ms - std::min(kTokenMarginMs, life_ms / 5);
    proved_ms_ = clock_.MonotonicMs();
    rejection_.reset();
    token = token_;
  }
  LogDebug("{}: new token", endpoints_.host());
  waiting_.Complete(token);
}

void OAuth::FailAll(const Error& error) {
  if (error.code == Errc::kUnauthenticated) {
    MutexLock lock(mutex_);
    rejection_ = error;
    rejected_until_ms_ = clock_.MonotonicMs() + kRejectionMemoryMs;
  }
  waiting_.Complete(Fail(error));
}

}  // namespace tciafs::nbia
