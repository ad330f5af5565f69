// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The private channel of a mount: a Unix stream socket in a directory of its owner's, over which
// one connection carries one request and the messages that answer it. Source: unix(7).
//
// Client side: not thread-safe. Server side: a request is handled in a thread of its own, which may
// block; its stop token is triggered when the client hangs up or the server ends. Only the owner
// and root are answered. Times are milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

#include "tciafs/control/message.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::control {

// One end of a connection. Closing it (the destructor does) is what cancels a request.
class Connection {
 public:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}
  // kNotFound: nobody listens there.
  static Result<Connection> Open(const std::string& socket_path);

  // kCancelled: the other side has gone. kTimedOut: it does not read.
  Status Send(const Message& message);
  // Nothing: the other side has closed. kTimedOut: it was silent for so long (-1: waits for ever);
  // kInvalidArgument: it sent what is no message, or too long a line.
  Result<std::optional<Message>> Receive(int64_t timeout_ms);

  // Bytes as they are, between messages; both sides know how many. kCancelled, kTimedOut.
  Status SendBytes(ByteView bytes);
  Status ReceiveBytes(std::span<std::byte> into, int64_t timeout_ms);

  int fd() const { return socket_.get(); }
  // Who is on the other side, for messages.
  void Name(std::string peer) { peer_ = std::move(peer); }
  const std::string& peer() const { return peer_; }

 private:
  UniqueFd socket_;
  std::string peer_ = "the other side";
  std::string received_;
};

// Sends the request and gives each answer to `on_answer` until the last one. An error is the one
// the server answered with, or that of the connection; kBusy: it was silent for `silence_max_ms`
// (-1: waits for ever).
Status Ask(Connection& connection, const Message& request, int64_t silence_max_ms,
           const std::function<void(const Message&)>& on_answer);

// What a handler answers with.
class Answers {
 public:
  virtual ~Answers() = default;
  virtual Status Send(const Message& message) = 0;
  virtual std::stop_token stop() const = 0;
  // What the client has still to say, as Connection's.
  virtual Result<std::optional<Message>> Receive(int64_t /*timeout_ms*/) {
    return Fail(Errc::kUnsupported, "nobody is there to say more");
  }
  virtual Status ReceiveBytes(std::span<std::byte> /*into*/, int64_t /*timeout_ms*/) {
    return Fail(Errc::kUnsupported, "nobody is there to say more");
  }
};

// The outcome is sent as the last message.
using Handler = std::function<Status(const Message& request, Answers& answers)>;

class Server {
 public:
  virtual ~Server() = default;  // stops what is under way and waits for it; removes the socket
  static Result<std::unique_ptr<Server>> Start(const std::string& socket_path, uint32_t owner_uid,
                                               Handler handler);
};

}  // namespace tciafs::control
