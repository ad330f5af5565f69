// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Serves an answerer's replies over HTTP/1.1 on the loopback interface, with the deliveries a fault
// plan asks for: late heads, stalls, resets, cut bodies, slow lines. The answerer is called on many
// threads at once (one per connection). Thread-safe.
//
// cpp-httplib parses and writes the messages. The connections are our own: it offers neither a
// reset nor a wait that Stop can end, so its one virtual function about sockets is overridden.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "exchange.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/result.h"

namespace tciafs::archive {

struct HttpServerOptions {
  int port = 0;                       // 0: any free one
  int64_t latency_ms = 0;             // before every head
  int64_t bandwidth_bytes_per_s = 0;  // of all connections together; 0: as fast as it goes
};

class HttpServer {
 public:
  using Answerer = std::function<Reply(const Request&)>;

  // Listens when it returns. kBusy if the port is taken. The clock is borrowed.
  static Result<std::unique_ptr<HttpServer>> Start(const HttpServerOptions& options,
                                                   Answerer answerer, const Clock& clock);
  ~HttpServer();  // stops

  int port() const { return port_; }
  // Ends all connections, stalled or not, and waits for their threads.
  void Stop();

 private:
  class Listener;
  HttpServer(std::unique_ptr<Listener> listener, int port);

  std::unique_ptr<Listener> listener_;
  const int port_;
};

}  // namespace tciafs::archive
