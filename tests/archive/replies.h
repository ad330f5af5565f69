// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The answers an NBIA server gives when something is wrong: bare English typed as JSON, a plain
// text 500 for whatever goes wrong inside the service, HTML outside it. Pure functions.
// Source: NBIA's exception mappers and endpoint classes (CBIIT/NBIA-TCIA on GitHub).
#pragma once

#include <string>
#include <string_view>

#include "exchange.h"

namespace tciafs::archive {

// "Server was not able to process your request", and the exception's text on a second line.
Reply ServerErrorReply(std::string_view exception);
// What a null pointer in the server looks like from outside.
inline Reply NullPointerReply() { return ServerErrorReply("null"); }
inline Reply NoSuchPathReply() { return ServerErrorReply("HTTP 404 Not Found"); }
inline Reply WrongMethodReply() { return ServerErrorReply("HTTP 405 Method Not Allowed"); }

// 400; list endpoints leave out the comma behind the name.
Reply MissingParameterReply(std::string_view name, bool of_list);
Reply UnknownParameterReply(bool of_form, std::string_view name, std::string_view allowed);
Reply UnauthorizedReply();  // 401 without a body
Reply HtmlErrorReply(int status);

}  // namespace tciafs::archive
