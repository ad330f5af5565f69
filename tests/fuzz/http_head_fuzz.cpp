// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What we read of an HTTP answer ourselves: the lines of its head, Retry-After, and where a
// redirect leads. The head is complete at most once and bounded; waits are never negative nor
// longer than their limit; an address that is followed is one we would have accepted from the user.
#include <algorithm>
#include <cctype>
#include <string>

#include "fuzz/fuzz.h"
#include "http/head_parser.h"
#include "http/retry.h"
#include "http/url.h"

namespace tciafs::http {
namespace {

// Lines as curl hands them over: each with its line end.
void CheckLines(std::string_view input) {
  HeadParser parser;
  size_t fed_bytes = 0;
  int completions = 0;
  bool too_large = false;
  std::string_view rest = input;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n') + 1);
    const std::string_view taken = line.empty() ? rest : line;
    rest.remove_prefix(taken.size());
    fed_bytes += taken.size();
    const bool was_complete = parser.complete();
    const ResponseHead before = parser.head();
    switch (parser.OnLine(taken)) {
      case HeadParser::Progress::kComplete:
        ++completions;
        break;
      case HeadParser::Progress::kTooLarge:
        too_large = true;
        break;
      case HeadParser::Progress::kMore:
        break;
    }
    FUZZ_REQUIRE(too_large == (fed_bytes > HeadParser::kHeaderBytesMax));
    if (was_complete) FUZZ_REQUIRE(parser.head().headers == before.headers);  // trailers
  }
  FUZZ_REQUIRE(completions == (parser.complete() ? 1 : 0));
  if (parser.complete()) FUZZ_REQUIRE(parser.head().status >= 200);
  size_t kept_bytes = 0;
  for (const auto& [name, value] : parser.head().headers) {
    kept_bytes += name.size() + value.size();
    FUZZ_REQUIRE(std::none_of(name.begin(), name.end(),
                              [](char c) { return std::isupper(static_cast<unsigned char>(c)); }));
    FUZZ_REQUIRE(value.empty() || (value.front() != ' ' && value.back() != ' '));
    FUZZ_REQUIRE(value.find('\n') == value.npos);
  }
  FUZZ_REQUIRE(kept_bytes <= fed_bytes);
}

void CheckRetryAfter(std::string_view value) {
  constexpr int64_t kDayMs = 86'400'000;
  for (const int64_t now_ms : {int64_t{0}, int64_t{1'700'000'000'000}}) {
    const auto wait_ms = ParseRetryAfterMs(value, now_ms);
    FUZZ_REQUIRE(!wait_ms || (*wait_ms >= 0 && *wait_ms <= kDayMs));
  }
}

void CheckUrl(const std::string& text) {
  const std::string base = "https://archive.example:8443/nbia-api/services/v4/getSeries?a=b";
  if (const auto origin = ParseOrigin(text)) {
    FUZZ_REQUIRE(origin->scheme == "http" || origin->scheme == "https");
    FUZZ_REQUIRE(!origin->host.empty() && !origin->port.empty());
    FUZZ_REQUIRE(HostForMessages(text) == origin->host);
    const bool is_plain = std::all_of(origin->host.begin(), origin->host.end(),
                                      [](char c) { return c > ' ' && c <= '~' && c != '%'; });
    const auto again = ParseOrigin(origin->Key());
    FUZZ_REQUIRE(!is_plain || !again || *again == *origin);
  }
  const auto target = ResolveUrl(base, text);
  if (!target) return;
  FUZZ_REQUIRE(target->find_first_of(std::string_view("\r\n\0 ", 4)) == target->npos);
  const auto origin = ParseOrigin(*target);
  if (!origin) return;  // is not followed
  const auto again = ResolveUrl("http://other.example/", *target);
  FUZZ_REQUIRE(again && ParseOrigin(*again) && *ParseOrigin(*again) == *origin);
}

}  // namespace
}  // namespace tciafs::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = tciafs::fuzz::TextOf(data, size);
  tciafs::http::CheckLines(input);
  tciafs::http::CheckRetryAfter(input);
  if (size < 4096) tciafs::http::CheckUrl(std::string(input));
  return 0;
}
