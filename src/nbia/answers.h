// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Reads between the lines of an NBIA answer: the server says 500 for a wrong path, 400 for a series
// the account may not see, 200 with an HTML page when a proxy speaks, and types its English text
// application/json. HTTP statuses and bodies become an Errc here and nowhere else.
//
// Pure functions. Messages are one line, name host and endpoint, and quote at most 80 printable
// characters of a body, never where it may repeat a token or a password (401, 403, token calls).
#pragma once

#include <string>
#include <string_view>

#include "tciafs/util/result.h"

namespace tciafs::nbia {

// What was asked, for the message and for the few statuses that mean different things.
struct Question {
  enum class Kind { kList, kSeriesImages, kSingleImage, kToken };
  std::string host;
  std::string endpoint;  // "v4/getSeries"
  Kind kind = Kind::kList;
};

struct Refusal {
  Error error;
  int status = 0;              // 0: there was no answer
  bool no_such_path = false;   // this server does not have the call
  bool token_refused = false;  // a new token may help
  bool means_empty = false;    // older servers say so with a 500
};

// For a status other than 200 and 204; `body` is its beginning.
Refusal ReadRefusal(const Question& question, int status, std::string_view body);

// For a 200 whose body is not what was asked for (`wanted`: "a list", "a zip").
Error ReadWrongBody(const Question& question, std::string_view wanted, std::string_view body);

// Nothing at the address is NBIA's, or nothing that knows accounts where one is `with_account`;
// `reason` shows it.
Error NoApiHere(const std::string& host, bool with_account, const Error& reason);

// Adds host and endpoint to an error that came from below (the network, a parser).
Error Within(const Question& question, const Error& error);

// Printable ASCII of the beginning, runs of anything else as one blank.
std::string QuoteBody(std::string_view body);

}  // namespace tciafs::nbia
