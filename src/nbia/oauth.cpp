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

// Another process may have renewed it meanwhile: then what is stored now is tried, so often.
constexpr int kLoginsTried = 3;

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
  const auto& login = endpoints_.login();
  std::optional<Result<Token>> at_hand;
  std::string rejected_login;
  {
    MutexLock lock(mutex_);
    const int64_t now_ms = clock_.MonotonicMs();
    if (!token_.text.empty() && now_ms < renew_at_ms_)
      at_hand = token_;
    else if (rejection_ && now_ms < rejected_until_ms_)
      at_hand = Fail(*rejection_);
    rejected_login = rejected_login_;
  }
  const bool another =
      at_hand && !*at_hand && login && login->Load().refresh_token != rejected_login;
  if (at_hand && !another) return done(std::move(*at_hand));
  auto keep_call = [call, done = std::move(done)](Result<Token> token) { done(std::move(token)); };
  if (!waiting_.Join(call->stop(), std::move(keep_call))) return;
  if (login)
    ObtainByLogin(calls_.Begin({}), 1);
  else
    ObtainByPassword(calls_.Begin({}));
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

void OAuth::KeepAfter(int64_t delay_ms) {
  {
    MutexLock lock(mutex_);
    keep_due_ms_ = clock_.MonotonicMs() + delay_ms;
  }
  ports_.scheduler.After(delay_ms, [keeper = keeper_] { keeper->Fire(keeper); });
}

// Timers that are not due any more, since the login was used meanwhile, do nothing.
void OAuth::KeepAlive() {
  {
    MutexLock lock(mutex_);
    if (keep_due_ms_ == 0 || clock_.MonotonicMs() < keep_due_ms_) return;
    keep_due_ms_ = 0;
  }
  const auto call = calls_.Begin({});
  const bool first = waiting_.Join({}, [this, call](const Result<Token>& token) {
    if (!token && token.error().code != Errc::kUnauthenticated) KeepAfter(kLoginRetryMs);
  });
  if (first) ObtainByLogin(call, 1);
}

size_t OAuth::KnownPath() const {
  return memory_.Load(memory_key_) == "services/oauth/token" ? 1 : 0;
}

void OAuth::ObtainByPassword(const std::shared_ptr<ActiveCall>& call) {
  AskForToken(endpoints_, ports_, {}, KnownPath(), call->stop(),
              [this, call](Result<TokenGiven> given) {
                if (given) return Accept(*given);
                Error error = std::move(given).error();
                if (error.code == Errc::kUnauthenticated && !endpoints_.anonymous())
                  error.message += ": user name or password is wrong";
                FailAll(error);
              });
}

void OAuth::ObtainByLogin(const std::shared_ptr<ActiveCall>& call, int logins_tried) {
  const Login::State used = endpoints_.login()->Load();
  const auto refuse = [this, used] {
    {
      MutexLock lock(mutex_);
      rejected_login_ = used.refresh_token;
    }
    FailAll({Errc::kUnauthenticated,
             endpoints_.host() + ": the login there has ended; log in again: tciafs login " +
                 endpoints_.root_url()});
  };
  if (used.refresh_token.empty()) return refuse();
  AskForTokenAgain(
      endpoints_, ports_, used, KnownPath(), call->stop(),
      [this, call, used, logins_tried, refuse](Result<TokenGiven> given) {
        if (given) {
          if (!given->answer.refresh_token.empty())
            endpoints_.login()->Save(used, {given->answer.refresh_token, given->client_id});
          if (const auto life_s = given->answer.refresh_expires_in_s; life_s && *life_s > 0)
            KeepAfter(std::clamp(*life_s, kLoginLifeMinS, kLoginLifeMaxS) * 1000 / 2);
          return Accept(*given);
        }
        if (given.error().code != Errc::kUnauthenticated) return FailAll(given.error());
        const bool another = endpoints_.login()->Load().refresh_token != used.refresh_token;
        if (another && logins_tried < kLoginsTried) return ObtainByLogin(call, logins_tried + 1);
        refuse();
      });
}

void OAuth::Accept(const TokenGiven& given) {
  memory_.Save(memory_key_, given.path == 0 ? "oauth/token" : "services/oauth/token");
  Token token;
  {
    MutexLock lock(mutex_);
    const int64_t life_ms = LifeMs(given.answer);
    token_ = {given.answer.access_token, ++last_generation_};
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
