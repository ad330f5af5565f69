// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A server on 127.0.0.1 that answers as told, byte by byte: for tests of what real servers do only
// when they misbehave. One thread per connection. Thread-safe; the destructor ends all connections.
//
//   ScriptedServer server;
//   server.Script("/patients", {Reply(503)});        // the first request
//   server.Script("/patients", {Reply(200, "[]")});  // the second and all later ones
//   Fetch(..., server.Url("/patients?x=y"), ...);
//   server.requests()[0];  // "GET /patients?x=y HTTP/1.1\r\nHost: ..."
//
// A script answers one request of its path (the query does not count); the last script of a path
// stays. A path without scripts gives 404.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace tciafs::testing {

struct ServerStep {
  enum class Kind { kSend, kSendMany, kDelay, kHold, kReset, kClose };
  Kind kind = Kind::kSend;
  std::string text;   // kSend: the bytes; kHold: the name to be released
  int64_t count = 0;  // kSendMany: bytes; kDelay: milliseconds
};

// The bytes as they are.
inline ServerStep Send(std::string bytes) { return {ServerStep::Kind::kSend, std::move(bytes), 0}; }
// A whole answer with its Content-Length.
inline ServerStep Reply(int status, const std::string& body = "",
                        const std::string& header_lines = "") {
  return Send("HTTP/1.1 " + std::to_string(status) + " Scripted\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n" + header_lines + "\r\n" + body);
}
// Many bytes of 'x', counted in bytes_sent() as the socket takes them.
inline ServerStep SendMany(int64_t bytes) { return {ServerStep::Kind::kSendMany, "", bytes}; }
inline ServerStep Delay(int64_t ms) { return {ServerStep::Kind::kDelay, "", ms}; }
// Says nothing until Release(name).
inline ServerStep Hold(std::string name) { return {ServerStep::Kind::kHold, std::move(name), 0}; }
// Says nothing more until the server goes.
inline ServerStep Stall() { return Hold("never"); }
inline ServerStep Reset() { return {ServerStep::Kind::kReset, "", 0}; }
inline ServerStep Close() { return {ServerStep::Kind::kClose, "", 0}; }

class ScriptedServer {
 public:
  ScriptedServer() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, generic, &size) != 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~ScriptedServer() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
    }
    changed_.notify_all();
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (auto& thread : threads_) thread.join();
    ::close(listener_);
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  int port() const { return port_; }
  std::string Url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }

  void Script(const std::string& path, std::vector<ServerStep> steps) {
    std::lock_guard lock(mutex_);
    scripts_[path].push_back(std::move(steps));
  }
  // What a connection hears before it has said anything.
  void Greet(std::string bytes) {
    std::lock_guard lock(mutex_);
    greeting_ = std::move(bytes);
  }
  // Smaller buffers, so that a reader who stops reading is felt soon. For connections to come.
  void LimitSendBuffer(int bytes) {
    std::lock_guard lock(mutex_);
    send_buffer_bytes_ = bytes;
  }
  // Ends every Hold of that name, also those to come.
  void Release(const std::string& name) {
    {
      std::lock_guard lock(mutex_);
      released_.insert(name);
    }
    changed_.notify_all();
  }

  // Head and body of every request, in the order of arrival.
  std::vector<std::string> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }
  int connections_accepted() const {
    std::lock_guard lock(mutex_);
    return accepted_;
  }
  int connections_open() const {
    std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }
  // Requests whose script is running now.
  int in_service() const {
    std::lock_guard lock(mutex_);
    return in_service_;
  }
  int64_t bytes_sent() const {
    std::lock_guard lock(mutex_);
    return bytes_sent_;
  }
  // Waits until `condition` holds (it is asked whenever something has happened, and may call the
  // accessors above); false when it does not within `limit`.
  bool WaitUntil(const std::function<bool()>& condition,
                 std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return true;
  }
  bool WaitForRequests(size_t count) {
    return WaitUntil([&] { return requests().size() >= count; });
  }

 private:
  void Accept() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      std::lock_guard lock(mutex_);
      if (stopping_ || fd < 0) {
        if (fd >= 0) ::close(fd);
        return;
      }
      ++accepted_;
      if (send_buffer_bytes_ > 0)
        ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes_, sizeof send_buffer_bytes_);
      connections_.insert(fd);
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    std::string greeting;
    {
      std::lock_guard lock(mutex_);
      greeting = greeting_;
    }
    bool open = greeting.empty() || SendAll(fd, greeting);
    std::string unread;
    while (open) {
      const std::string request = ReadRequest(fd, unread);
      if (request.empty()) break;
      const auto steps = Accepted(request);
      for (const auto& step : steps) {
        open = Run(fd, step);
        if (!open) break;
      }
      std::lock_guard lock(mutex_);
      --in_service_;
    }
    {
      std::lock_guard lock(mutex_);
      connections_.erase(fd);
      ::close(fd);
    }
    changed_.notify_all();
  }

  static size_t BodySize(const std::string& head) {
    std::string lower = head;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto field = lower.find("\r\ncontent-length:");
    return field == std::string::npos ? 0 : std::strtoul(lower.c_str() + field + 17, nullptr, 10);
  }

  // "" at the end of the connection.
  static std::string ReadRequest(int fd, std::string& unread) {
    for (;;) {
      const auto end = unread.find("\r\n\r\n");
      if (end != std::string::npos) {
        const size_t size = end + 4 + BodySize(unread.substr(0, end));
        if (unread.size() >= size) {
          std::string request = unread.substr(0, size);
          unread.erase(0, size);
          return request;
        }
      }
      char buffer[4096];
      const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) return {};
      unread.append(buffer, static_cast<size_t>(got));
    }
  }

  std::vector<ServerStep> Accepted(const std::string& request) {
    const auto target = request.find(' ') + 1;
    const std::string path = request.substr(target, request.find_first_of(" ?", target) - target);
    std::vector<ServerStep> steps = {Reply(404)};
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
      ++in_service_;
      auto& scripts = scripts_[path];
      if (!scripts.empty()) steps = scripts.front();
      if (scripts.size() > 1) scripts.pop_front();
    }
    changed_.notify_all();
    return steps;
  }

  // False: the connection is over.
  bool Run(int fd, const ServerStep& step) {
    switch (step.kind) {
      case ServerStep::Kind::kSend:
        return SendAll(fd, step.text);
      case ServerStep::Kind::kSendMany:
        return SendCounted(fd, step.count);
      case ServerStep::Kind::kDelay: {
        std::unique_lock lock(mutex_);
        return !changed_.wait_for(lock, std::chrono::milliseconds(step.count),
                                  [this] { return stopping_; });
      }
      case ServerStep::Kind::kHold: {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || released_.count(step.text) > 0; });
        return !stopping_;
      }
      case ServerStep::Kind::kReset: {
        const linger abort = {1, 0};  // close() then sends RST instead of FIN
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
        return false;
      }
      case ServerStep::Kind::kClose:
        return false;
    }
    return false;
  }

  static bool SendAll(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  bool SendCounted(int fd, int64_t bytes) {
    const std::string piece(16 * 1024, 'x');
    while (bytes > 0) {
      const size_t size = static_cast<size_t>(std::min<int64_t>(bytes, 16 * 1024));
      if (!SendAll(fd, std::string_view(piece).substr(0, size))) return false;
      bytes -= static_cast<int64_t>(size);
      std::lock_guard lock(mutex_);
      bytes_sent_ += static_cast<int64_t>(size);
    }
    return true;
  }

  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> threads_;  // touched by the acceptor, then by the destructor

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::string greeting_;
  int send_buffer_bytes_ = 0;
  int accepted_ = 0;
  int in_service_ = 0;
  int64_t bytes_sent_ = 0;
  std::set<int> connections_;
  std::set<std::string> released_;
  std::map<std::string, std::deque<std::vector<ServerStep>>> scripts_;
  std::vector<std::string> requests_;
};

}  // namespace tciafs::testing
