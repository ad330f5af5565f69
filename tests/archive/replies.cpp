// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "replies.h"

#include <fmt/core.h>

namespace tciafs::archive {
namespace {

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 413:
      return "Request Entity Too Large";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Time-out";
    default:
      return "Error";
  }
}

}  // namespace

Reply ServerErrorReply(std::string_view exception) {
  std::string body = "Server was not able to process your request";
  if (!exception.empty()) body.append("\n").append(exception);
  return TextReply(500, "text/plain", std::move(body));
}

Reply MissingParameterReply(std::string_view name, bool of_list) {
  return TextReply(
      400, "application/json",
      fmt::format("A parameter, {}{} is required for this API call.", name, of_list ? "" : ","));
}

Reply UnknownParameterReply(bool of_form, std::string_view name, std::string_view allowed) {
  return TextReply(400, "application/json",
                   fmt::format("Invalid {} parameter: '{}'. Allowed parameters are: [{}]",
                               of_form ? "form" : "query", name, allowed));
}

Reply UnauthorizedReply() {
  Reply reply;
  reply.status = 401;
  return reply;
}

Reply HtmlErrorReply(int status) {
  return TextReply(status, "text/html",
                   fmt::format("<html>\r\n<head><title>{0} {1}</title></head>\r\n<body>\r\n"
                               "<center><h1>{0} {1}</h1></center>\r\n<hr><center>nginx</center>\r\n"
                               "</body>\r\n</html>\r\n",
                               status, ReasonOf(status)));
}

}  // namespace tciafs::archive
