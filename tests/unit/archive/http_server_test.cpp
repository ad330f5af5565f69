// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The deliveries as a client sees them that knows nothing but sockets.
#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <thread>

#include "archive_fixture.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::archive {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

struct Answer {
  std::string bytes;  // head and body as they came
  int error = 0;      // errno at the end; 0: closed in good order
};

class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  bool connected() const { return connected_; }
  void Send(const std::string& text) {
    EXPECT_EQ(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  void Get(const std::string& target) {
    Send("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  // Until the end, or until that many bytes are there.
  Answer Read(size_t enough = SIZE_MAX) {
    Answer answer;
    char buffer[4096];
    while (answer.bytes.size() < enough) {
      const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (got == 0) return answer;
      if (got < 0) {
        answer.error = errno;
        return answer;
      }
      answer.bytes.append(buffer, static_cast<size_t>(got));
    }
    return answer;
  }

 private:
  UniqueFd fd_;
  bool connected_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void Serve(HttpServer::Answerer answerer, HttpServerOptions options = {}) {
    auto started = HttpServer::Start(options, std::move(answerer), clock_);
    ASSERT_TRUE(started.has_value());
    server_ = std::move(*started);
  }
  // Always the same reply, chunked or not.
  void ServeBody(const std::string& body, bool chunked, Delivery delivery) {
    Serve([=](const Request&) {
      Reply reply;
      reply.content_type = "application/json";
      reply.delivery = delivery;
      if (chunked)
        reply.writer = [body](BodySink& sink) { return sink.Write(body); };
      else
        reply.body = body;
      return reply;
    });
  }
  Answer Fetch(const std::string& target = "/") {
    Client client(server_->port());
    client.Get(target);
    return client.Read();
  }

  SystemClock clock_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, SendsShortBodiesWithALengthAndLongOnesInChunks) {
  ServeBody("hello", false, {});
  EXPECT_THAT(Fetch().bytes, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(Fetch().bytes, EndsWith("\r\n\r\nhello"));
  ServeBody("hello", true, {});
  EXPECT_THAT(Fetch().bytes, EndsWith("5\r\nhello\r\n0\r\n\r\n"));
}

TEST_F(HttpServerTest, AnEmptyBodyHasNoType) {
  Serve([](const Request&) { return Reply{}; });
  const Answer answer = Fetch();
  EXPECT_THAT(answer.bytes, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(answer.bytes, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(answer.bytes, Not(HasSubstr("Content-Type")));
}

TEST_F(HttpServerTest, TranslatesRequests) {
  Serve([](const Request& request) {
    return TextReply(200, "text/plain",
                     request.method + "|" + request.path + "|" +
                         request.Parameter("Collection").value_or("-") + "|" +
                         request.Parameter("list").value_or("-") + "|" +
                         request.authorization.value_or("-") + "|" + request.api_key);
  });
  Client client(server_->port());
  client.Send(
      "GET /a%20b?Collection=CT%20Lymph+Nodes HTTP/1.1\r\nHost: x\r\nauthorization: Bearer t\r\n"
      "api_key: k\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.Read().bytes, EndsWith("\r\n\r\nGET|/a b|CT Lymph Nodes|-|Bearer t|k"));
  // A form longer than the library's own limit.
  Client poster(server_->port());
  const std::string form = "list=" + std::string(100'000, '7');
  poster.Send(
      "POST /x HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
      "Content-Length: " +
      std::to_string(form.size()) + "\r\nConnection: close\r\n\r\n" + form);
  EXPECT_THAT(poster.Read().bytes, EndsWith("|-|" + form.substr(5) + "|-|"));
}

TEST_F(HttpServerTest, RefusesOtherMethodsAndLongForms) {
  ServeBody("x", false, {});
  Client deleting(server_->port());
  deleting.Send("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(deleting.Read().bytes, HasSubstr("HTTP 405 Method Not Allowed"));
  Client posting(server_->port());
  const std::string body(11 << 20, 'x');
  posting.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
               "\r\n\r\n" + body);
  EXPECT_THAT(posting.Read(12).bytes, HasSubstr("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, ResetsTheConnection) {
  for (const bool chunked : {true, false}) {
    ServeBody(std::string(5000, 'x'), chunked, {.reset_after_bytes = 100});
    const Answer answer = Fetch();
    EXPECT_EQ(answer.error, ECONNRESET);
    EXPECT_EQ(std::count(answer.bytes.begin(), answer.bytes.end(), 'x'), 100);
  }
}

TEST_F(HttpServerTest, AbortsInTheMiddle) {
  ServeBody(std::string(5000, 'x'), true, {.abort_after_bytes = 100});
  const Answer answer = Fetch();
  EXPECT_EQ(answer.error, 0);
  EXPECT_THAT(answer.bytes, EndsWith(std::string(100, 'x') + "\r\n"));  // and no last chunk
}

TEST_F(HttpServerTest, CutsTheBodyWithACleanEnd) {
  ServeBody(std::string(5000, 'x'), true, {.cut_after_bytes = 100});
  EXPECT_THAT(Fetch().bytes, EndsWith(std::string(100, 'x') + "\r\n0\r\n\r\n"));
  ServeBody(std::string(5000, 'x'), false, {.cut_after_bytes = 100});
  EXPECT_THAT(Fetch().bytes, HasSubstr("Content-Length: 100\r\n"));
}

TEST_F(HttpServerTest, SendsRawBytesAndHangsUp) {
  for (const bool chunked : {true, false}) {
    Serve([=](const Request&) {
      Reply reply;
      reply.raw = true;
      const std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort";
      if (chunked)
        reply.writer = [bytes](BodySink& sink) { return sink.Write(bytes); };
      else
        reply.body = bytes;
      return reply;
    });
    const Answer answer = Fetch();
    EXPECT_EQ(answer.error, 0);
    EXPECT_EQ(answer.bytes, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
  }
}

TEST_F(HttpServerTest, RawBytesMeetFaultsToo) {
  Serve([](const Request&) {
    Reply reply;
    reply.raw = true;
    reply.body = "0123456789";
    reply.delivery.reset_after_bytes = 4;
    return reply;
  });
  const Answer answer = Fetch();
  EXPECT_EQ(answer.error, ECONNRESET);
  EXPECT_EQ(answer.bytes, "0123");
}

TEST_F(HttpServerTest, SlowLinesDeliverEverything) {
  ServeBody(std::string(300, 'x'), true, {.bytes_per_s = 3000});
  const int64_t start_ms = clock_.MonotonicMs();
  const Answer answer = Fetch();
  EXPECT_EQ(std::count(answer.bytes.begin(), answer.bytes.end(), 'x'), 300);
  EXPECT_LT(clock_.MonotonicMs() - start_ms, 30'000);
}

TEST_F(HttpServerTest, LatencyComesBeforeTheHead) {
  ServeBody("x", false, {.latency_ms = 50});
  const int64_t start_ms = clock_.MonotonicMs();
  EXPECT_THAT(Fetch().bytes, EndsWith("\r\n\r\nx"));
  EXPECT_GE(clock_.MonotonicMs() - start_ms, 49);
}

TEST_F(HttpServerTest, ServesWhileManyConnectionsAreStalled) {
  Serve([](const Request& request) {
    Reply reply = TextReply(200, "text/plain", std::string(200, 'x'));
    if (request.path == "/body") reply.delivery.stall_after_bytes = 10;
    if (request.path == "/head") reply.delivery.stall_before_head = true;
    return reply;
  });
  std::vector<std::unique_ptr<Client>> stalled;
  for (int i = 0; i < 64; ++i) {
    stalled.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_TRUE(stalled.back()->connected());
    stalled.back()->Get(i % 2 == 0 ? "/body" : "/head");
  }
  for (size_t i = 0; i < stalled.size(); i += 2)
    EXPECT_THAT(stalled[i]->Read(60).bytes, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(Fetch().bytes, EndsWith(std::string(200, 'x')));
  server_->Stop();  // the test would not end if a stall could not be broken
}

TEST_F(HttpServerTest, StopsWhileAClientDoesNotRead) {
  Serve([](const Request&) {
    Reply reply;
    reply.content_type = "application/octet-stream";
    reply.writer = [](BodySink& sink) {
      const std::string piece(64 * 1024, 'x');
      while (sink.Write(piece)) {
      }
      return false;
    };
    return reply;
  });
  Client client(server_->port());
  client.Get("/");
  client.Read(1'000'000);
  server_->Stop();
}

TEST_F(HttpServerTest, KeepsTheLeaseUntilTheBodyIsSent) {
  std::weak_ptr<int> lease;
  std::atomic<int64_t> sent{0};
  Serve([&](const Request&) {
    Reply reply = TextReply(200, "text/plain", std::string(200, 'x'));
    auto held = std::make_shared<int>(1);
    lease = held;
    reply.lease = std::move(held);
    reply.on_sent = [&](int64_t bytes) { sent += bytes; };
    return reply;
  });
  Fetch();
  server_->Stop();
  EXPECT_EQ(sent, 200);
  EXPECT_TRUE(lease.expired());
}

TEST_F(HttpServerTest, TwoServersDoNotShareAPort) {
  ServeBody("x", false, {});
  HttpServerOptions options;
  options.port = server_->port();
  const auto second = HttpServer::Start(
      options, [](const Request&) { return Reply{}; }, clock_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kBusy);
}

}  // namespace
}  // namespace tciafs::archive
