// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/answers.h"

#include <fmt/core.h>

#include "nbia/limits.h"
#include "tciafs/util/text.h"

namespace tciafs::nbia {
namespace {

bool Has(std::string_view body, std::string_view words) {
  return body.find(words) != std::string_view::npos;
}

bool LooksLikeHtml(std::string_view body) {
  body = TrimBlanks(body);
  return EqualsIgnoringCase(body.substr(0, 5), "<html") ||
         EqualsIgnoringCase(body.substr(0, 9), "<!doctype");
}

Errc CodeOf400(std::string_view body) {
  if (Has(body, "not in public domain") || Has(body, "has not been granted"))
    return Errc::kPermission;
  // The call is understood, its form is not.
  if (Has(body, "Invalid query parameter") || Has(body, "Invalid form parameter") ||
      Has(body, "A parameter"))
    return Errc::kUnsupported;
  return Errc::kUnavailable;
}

// A catch-all on the server turns every failure into 500, also a path that does not exist.
Errc CodeOf500(const Question& question, std::string_view body, Refusal& refusal) {
  if (Has(body, "HTTP 404") || Has(body, "HTTP 405")) {
    refusal.no_such_path = true;
    return Errc::kUnavailable;
  }
  if (Has(body, "HTTP 401")) {
    refusal.token_refused = true;
    return Errc::kUnauthenticated;
  }
  refusal.means_empty = TrimBlanks(body) == "No data found.";
  // Unknown, forbidden and lost images all look like this.
  return question.kind == Question::Kind::kSingleImage ? Errc::kNotFound : Errc::kUnavailable;
}

Errc CodeOf(const Question& question, int status, std::string_view body, Refusal& refusal) {
  switch (status) {
    case 400:
      if (question.kind == Question::Kind::kToken) return Errc::kUnauthenticated;
      return CodeOf400(body);
    case 401:
      refusal.token_refused = true;
      return Errc::kUnauthenticated;
    case 403:
      refusal.token_refused = true;
      return question.kind == Question::Kind::kToken ? Errc::kUnauthenticated : Errc::kPermission;
    case 404:
    case 405: {
      const bool image = question.kind == Question::Kind::kSeriesImages ||
                         question.kind == Question::Kind::kSingleImage;
      refusal.no_such_path = !image || status == 405 || LooksLikeHtml(body);
      return image ? Errc::kNotFound : Errc::kUnavailable;
    }
    case 429:
      return Errc::kThrottled;
    case 500:
      return CodeOf500(question, body, refusal);
    default:
      return Errc::kUnavailable;
  }
}

}  // namespace

Refusal ReadRefusal(const Question& question, int status, std::string_view body) {
  Refusal refusal;
  refusal.status = status;
  refusal.error.code = CodeOf(question, status, body, refusal);
  std::string reason = fmt::format("HTTP {}", status);
  if (LooksLikeHtml(body)) {
    reason += " with a web page";
  } else if (status != 401 && status != 403 && question.kind != Question::Kind::kToken) {
    const std::string quoted = QuoteBody(body);
    if (!quoted.empty()) reason += fmt::format(" \"{}\"", quoted);
  }
  refusal.error.message = fmt::format("{}: {}: {}", question.host, question.endpoint, reason);
  return refusal;
}

Error ReadWrongBody(const Question& question, std::string_view wanted, std::string_view body) {
  std::string what = "nothing";
  if (!body.empty() && question.kind == Question::Kind::kToken)  // may repeat the password it got
    what = LooksLikeHtml(body) ? "a web page" : "something else";
  else if (LooksLikeHtml(body))
    what = fmt::format("a web page \"{}\"", QuoteBody(body));
  else if (!body.empty())
    what = fmt::format("\"{}\"", QuoteBody(body));
  return Error{Errc::kUnavailable, fmt::format("{}: {}: answered {} in place of {}", question.host,
                                               question.endpoint, what, wanted)};
}

Error NoApiHere(const std::string& host, bool with_account, const Error& reason) {
  std::string_view bare = reason.message;
  if (bare.starts_with(host + ": ")) bare.remove_prefix(host.size() + 2);
  return Error{Errc::kUnavailable,
               fmt::format("{}: no NBIA API at this address{} ({}): check the path of the URL; it "
                           "usually ends in /nbia-api",
                           host, with_account ? ", or none with accounts" : "", bare)};
}

Error Within(const Question& question, const Error& error) {
  // The network's messages name the host already.
  Error bare = error;
  const std::string named = question.host + ": ";
  if (bare.message.starts_with(named)) bare.message.erase(0, named.size());
  return bare.Within(question.endpoint).Within(question.host);
}

std::string QuoteBody(std::string_view body) {
  std::string quoted;
  for (const char c : body) {
    if (quoted.size() >= kQuotedCharactersMax) break;
    if (c > ' ' && c <= '~')
      quoted += c;
    else if (!quoted.empty() && quoted.back() != ' ')
      quoted += ' ';
  }
  while (!quoted.empty() && quoted.back() == ' ') quoted.pop_back();
  return quoted;
}

}  // namespace tciafs::nbia
