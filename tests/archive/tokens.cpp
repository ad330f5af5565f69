// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tokens.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "replies.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

constexpr size_t kBearerLength = 7;  // "Bearer "; the server cuts so many characters off, unasked

Reply OAuthError(int status, std::string_view error, std::string_view description) {
  return TextReply(status, "application/json",
                   fmt::format(R"({{"error":"{}","error_description":"{}"}})", error, description));
}

// RFC 4648 section 5, without padding.
std::string Base64Url(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(byte);
    for (count += 8; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) text += kDigits[bits << (6 - count) & 63];
  return text;
}

// A JSON Web Token but for its signature. Its claims name the client, as Keycloak's do.
std::string MakeToken(std::string_view purpose, const std::string& client, uint64_t number,
                      int64_t now_ms) {
  const Hash128 hash = Xxh3Wide(AsBytes(fmt::format("{} {} {}", purpose, number, now_ms)), number);
  const nlohmann::ordered_json claims = {{"typ", purpose}, {"azp", client}};
  return fmt::format("{}.{}.{:016x}{:016x}", Base64Url(R"({"alg":"RS256"})"),
                     Base64Url(claims.dump()), hash.high, hash.low);
}

}  // namespace

Reply TokenStore::Grant(const Request& request) {
  const auto grant_type = request.Parameter("grant_type");
  if (!grant_type) return NullPointerReply();
  if (*grant_type == "password") return GrantByPassword(request);
  if (*grant_type == "refresh_token") return GrantByRefresh(request);
  return ServerErrorReply("HTTP 0");
}

Reply TokenStore::GrantByPassword(const Request& request) {
  const std::string user = request.Parameter("username").value_or("");
  const auto known = options_.passwords.find(user);
  const bool welcome =
      user == kGuest || (known != options_.passwords.end() &&
                         known->second == request.Parameter("password").value_or(""));
  if (!welcome) return OAuthError(401, "invalid_grant", "Invalid user credentials");
  MutexLock lock(mutex_);
  return Issue(user);
}

Reply TokenStore::GrantByRefresh(const Request& request) {
  const std::string client_id = request.Parameter("client_id").value_or("");
  const bool right_client = options_.client_id.empty() ? EqualsIgnoringCase(client_id, "nbia")
                                                       : client_id == options_.client_id;
  if (!right_client)
    return OAuthError(401, "invalid_client", "Invalid client or Invalid client credentials");
  const std::string refresh_token = request.Parameter("refresh_token").value_or("");
  MutexLock lock(mutex_);
  ForgetExpired();
  const auto session = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& entry) {
    return !refresh_token.empty() && entry.second.refresh_token == refresh_token &&
           entry.second.refresh_expires_ms > clock_.MonotonicMs();
  });
  if (session == sessions_.end()) return OAuthError(400, "invalid_grant", "Invalid refresh token");
  const Viewer viewer = session->second.viewer;
  session->second.refresh_token.clear();  // good for one use; the access token lives on
  return Issue(viewer);
}

Reply TokenStore::Issue(const Viewer& viewer) {
  ForgetExpired();
  const int64_t now_ms = clock_.MonotonicMs();
  ++issued_;
  const std::string client = options_.client_id.empty() ? "NBIA" : options_.client_id;
  const std::string token = MakeToken("access", client, issued_, now_ms);
  const Session session = {viewer, now_ms + options_.life_s * 1000,
                           now_ms + options_.refresh_life_s * 1000,
                           MakeToken("refresh", client, issued_, now_ms)};
  sessions_[token] = session;
  const nlohmann::ordered_json answer = {{"access_token", token},
                                         {"expires_in", options_.life_s},
                                         {"refresh_expires_in", options_.refresh_life_s},
                                         {"refresh_token", session.refresh_token},
                                         {"token_type", "Bearer"},
                                         {"id_token", MakeToken("id", client, issued_, now_ms)},
                                         {"not-before-policy", 0},
                                         {"session_state", fmt::format("{:032x}", issued_)},
                                         {"scope", "openid profile email"}};
  return TextReply(200, "application/json", answer.dump());
}

void TokenStore::ForgetExpired() {
  const int64_t now_ms = clock_.MonotonicMs();
  for (auto session = sessions_.begin(); session != sessions_.end();) {
    const bool gone =
        session->second.expires_ms <= now_ms && session->second.refresh_expires_ms <= now_ms;
    session = gone ? sessions_.erase(session) : std::next(session);
  }
}

Reply TokenStore::Logout(const Request& request) {
  if (request.authorization && request.authorization->size() > kBearerLength) {
    MutexLock lock(mutex_);
    sessions_.erase(request.authorization->substr(kBearerLength));
  }
  return TextReply(200, "text/plain", "You Have Logged Out successfully.");
}

Identity TokenStore::Identify(const std::optional<std::string>& authorization) const {
  if (!authorization) return {Identity::Kind::kAbsent, kGuest};
  if (authorization->size() < kBearerLength) return {Identity::Kind::kMalformed, {}};
  const std::string token = authorization->substr(kBearerLength);
  if (token == "undefined") return {Identity::Kind::kKnown, kGuest};
  MutexLock lock(mutex_);
  const auto session = sessions_.find(token);
  if (session == sessions_.end() || session->second.expires_ms <= clock_.MonotonicMs())
    return {Identity::Kind::kRejected, {}};
  return {Identity::Kind::kKnown, session->second.viewer};
}

void TokenStore::ExpireAll() {
  MutexLock lock(mutex_);
  for (auto& [token, session] : sessions_) session.expires_ms = INT64_MIN;
}

}  // namespace tciafs::archive
