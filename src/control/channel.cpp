// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/control/channel.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control/socket_address.h"
#include "tciafs/control/limits.h"
#include "tciafs/util/text.h"

namespace tciafs::control {

Result<Connection> Connection::Open(const std::string& socket_path) {
  TCIAFS_ASSIGN(const SocketAddress address, SocketAddress::Of(socket_path));
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Fail(Errc::kInternal, "socket: " + SystemErrorText(errno));
  if (::connect(socket.get(), address.get(), address.size()) != 0) {
    const Errc code = errno == EACCES ? Errc::kPermission : Errc::kNotFound;
    return Fail(code, socket_path + ": " + SystemErrorText(errno));
  }
  return Connection(std::move(socket));
}

Status Connection::Send(const Message& message) {
  const std::string line = message.Encoded();
  if (line.size() > kLineBytesMax) return Fail(Errc::kInvalidArgument, "too long a message");
  return SendBytes(AsBytes(line));
}

Status Connection::SendBytes(ByteView bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t more = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (more >= 0) {
      sent += static_cast<size_t>(more);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Fail(Errc::kCancelled, "the other side has gone");
    pollfd writable{socket_.get(), POLLOUT, 0};
    if (::poll(&writable, 1, static_cast<int>(kSendWaitMaxMs)) == 0)
      return Fail(Errc::kTimedOut, "the other side does not read");
  }
  return {};
}

Result<std::optional<Message>> Connection::Receive(int64_t timeout_ms) {
  size_t searched = 0;
  for (;;) {
    if (const size_t end = received_.find('\n', searched); end != std::string::npos) {
      auto message = Message::Decode(std::string_view(received_).substr(0, end));
      received_.erase(0, end + 1);
      if (!message) return Fail(std::move(message).error());
      return *std::move(message);
    }
    searched = received_.size();
    if (searched > kLineBytesMax) return Fail(Errc::kInvalidArgument, "too long a message");
    pollfd readable{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(timeout_ms));
    if (ready == 0) return Fail(Errc::kTimedOut, "no answer");
    if (ready < 0) {
      if (errno == EINTR) continue;
      return Fail(Errc::kInternal, "poll: " + SystemErrorText(errno));
    }
    char buffer[16384];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::optional<Message>();
    received_.append(buffer, static_cast<size_t>(got));
  }
}

Status Connection::ReceiveBytes(std::span<std::byte> into, int64_t timeout_ms) {
  const size_t held = std::min(into.size(), received_.size());
  std::memcpy(into.data(), received_.data(), held);
  received_.erase(0, held);
  for (size_t done = held; done < into.size();) {
    pollfd readable{socket_.get(), POLLIN, 0};
    const int ready = ::poll(&readable, 1, static_cast<int>(timeout_ms));
    if (ready == 0) return Fail(Errc::kTimedOut, "no answer");
    if (ready < 0 && errno == EINTR) continue;
    const ssize_t got = ready < 0 ? -1 : ::recv(socket_.get(), &into[done], into.size() - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Fail(Errc::kCancelled, "the other side has gone");
    done += static_cast<size_t>(got);
  }
  return {};
}

Status Ask(Connection& connection, const Message& request, int64_t silence_max_ms,
           const std::function<void(const Message&)>& on_answer) {
  // A server that refuses closes before it has read: what it answered is there all the same.
  const Status sent = connection.Send(request);
  for (;;) {
    auto received = connection.Receive(silence_max_ms);
    // Told apart from an archive's silence, which is an answer.
    if (!received && received.error().code == Errc::kTimedOut)
      return Fail(Errc::kBusy, connection.peer() + " does not answer");
    TCIAFS_ASSIGN(const auto answer, std::move(received));
    if (!answer) {
      TCIAFS_TRY(sent);
      return Fail(Errc::kCancelled, "the mount has ended");
    }
    if (answer->kind() == "done") return {};
    if (answer->kind() == "failed") return Fail(ErrorIn(*answer));
    on_answer(*answer);
  }
}

}  // namespace tciafs::control
