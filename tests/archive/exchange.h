// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One HTTP exchange as the test archive sees it, free of any HTTP library: the request, the reply
// and how the reply is to be delivered (the transport faults of a plan). A Request is read-only
// once built; a Reply belongs to the thread that serves the connection. Times are milliseconds,
// rates bytes per second, offsets count bytes of the body.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tciafs::archive {

struct Request {
  std::string method;
  std::string path;                               // percent-decoded
  std::multimap<std::string, std::string> query;  // decoded
  std::multimap<std::string, std::string> form;   // decoded; of an urlencoded body
  std::string body;                               // as sent
  std::optional<std::string> authorization;       // the header, if there is one
  std::string api_key;                            // the header, "" if there is none

  // The first value under that name in query or form.
  std::optional<std::string> Parameter(const std::string& name) const;
};

// Parses application/x-www-form-urlencoded text.
std::multimap<std::string, std::string> ParseForm(std::string_view text);

// Takes a body piece by piece. False means: nobody wants more, stop.
class BodySink {
 public:
  virtual ~BodySink() = default;
  virtual bool Write(std::string_view bytes) = 0;
};

// Writes a whole body; false when the sink refused before its end.
using BodyWriter = std::function<bool(BodySink&)>;

// How a reply travels. Offsets of -1 mean never.
struct Delivery {
  int64_t latency_ms = 0;  // before the head
  bool stall_before_head = false;
  int64_t stall_after_bytes = -1;
  int64_t reset_after_bytes = -1;  // RST
  int64_t abort_after_bytes = -1;  // FIN in mid-body
  int64_t cut_after_bytes = -1;    // the body ends there, with a clean end of the message
  int64_t bytes_per_s = 0;         // of this connection; 0: as fast as it goes
};

struct Reply {
  int status = 200;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;   // sent with Content-Length
  BodyWriter writer;  // if set: sent chunked, in place of body
  bool raw = false;   // the body is all that is sent: no status line, no headers; then FIN
  Delivery delivery;
  std::function<void(int64_t bytes)> on_sent;  // called for each piece of body that went out
  std::shared_ptr<void> lease;                 // dropped when the exchange has ended
};

inline Reply TextReply(int status, std::string content_type, std::string body) {
  Reply reply;
  reply.status = status;
  reply.content_type = std::move(content_type);
  reply.body = std::move(body);
  return reply;
}

// Bodies up to this size carry a Content-Length, larger ones are chunked: the output buffer of the
// servlet container the real archive runs in.
inline constexpr size_t kReplyBufferBytes = 8192;

}  // namespace tciafs::archive
