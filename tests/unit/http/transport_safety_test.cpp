// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Cut, broken, oversized and misleading answers; redirects; proxies.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "http/limits.h"
#include "unit/http/gzip_sample.h"
#include "unit/http/transport_fixture.h"

namespace tciafs::http {
namespace {

using namespace testing;  // NOLINT: the vocabulary of the scripts

class TransportSafetyTest : public TransportTest {
 protected:
  Request Once(const std::string& path) {
    Request request = Get(path);
    request.retry.attempts_max = 1;
    return request;
  }
};

TEST_F(TransportSafetyTest, ACutBodyIsAnError) {
  server_.Script("/length", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"), Close()});
  server_.Script(
      "/chunked",
      {Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"), Close()});
  for (const char* path : {"/length", "/chunked"})
    EXPECT_EQ(FailureOf(Get(path)), Prefix(Errc::kUnavailable) + "connection closed after 5 bytes");
  // The piece must have been read before the reset discards it.
  server_.Script("/reset",
                 {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"), Delay(100), Reset()});
  EXPECT_TRUE(FailureOf(Get("/reset"))
                  .starts_with(Prefix(Errc::kUnavailable) + "connection closed after 5 bytes ("));
  server_.Script("/garbled", {Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345"
                                   "\r\nzz\r\n"),
                              Stall()});
  EXPECT_TRUE(FailureOf(Get("/garbled"))
                  .starts_with(Prefix(Errc::kUnavailable) + "connection closed after 5 bytes ("));
}

TEST_F(TransportSafetyTest, AnAnswerThatIsNoHttpIsAnError) {
  server_.Script("/a", {Send("<html>hello</html>\r\n\r\n"), Close()});
  EXPECT_EQ(FailureOf(Get("/a")), Prefix(Errc::kUnavailable) + "not an HTTP answer");
  server_.Script("/none", {Close()});
  EXPECT_TRUE(FailureOf(Once("/none"))
                  .starts_with(Prefix(Errc::kUnavailable) + "connection closed without an answer"));
}

TEST_F(TransportSafetyTest, HeadersAreLimited) {
  std::vector<ServerStep> steps = {Send("HTTP/1.1 200 OK\r\n")};
  for (int i = 0; i < 300; ++i) steps.push_back(Send("X-Fill: " + std::string(1000, 'h') + "\r\n"));
  steps.push_back(Send("\r\n"));
  server_.Script("/a", steps);
  EXPECT_EQ(FailureOf(Get("/a")), Prefix(Errc::kUnavailable) + "headers larger than 256 KiB");
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(TransportSafetyTest, RedirectsStayWithinTheOrigin) {
  server_.Script("/a", {Reply(302, "moved", "Location: b?x=1\r\n")});
  server_.Script("/b", {Reply(307, "moved", "Location: " + server_.Url("/c") + "\r\n")});
  server_.Script("/c", {Reply(200, "here")});
  Request request = Get("/a");
  request.headers = {{"api_key", "k"}};
  const auto handler = Run(request);
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->body(), "here");
  EXPECT_EQ(handler->heads(), 1);
  EXPECT_EQ(handler->Wait()->attempts, 1);
  EXPECT_TRUE(server_.requests().at(1).starts_with("GET /b?x=1 "));
  EXPECT_TRUE(Contains(server_.requests().at(2), "api_key: k"));
}

TEST_F(TransportSafetyTest, RedirectsElsewhereAreRefused) {
  ScriptedServer other;
  server_.Script("/port", {Reply(302, "", "Location: " + other.Url("/x?token=t") + "\r\n")});
  server_.Script("/scheme", {Reply(301, "", "Location: https://127.0.0.1/x\r\n")});
  server_.Script("/host", {Reply(308, "", "Location: //localhost:1/x?token=t\r\n")});
  server_.Script("/file", {Reply(303, "", "Location: file:///etc/passwd\r\n")});
  EXPECT_EQ(FailureOf(Get("/port")), Prefix(Errc::kUnavailable) +
                                         "redirected to http://127.0.0.1:" +
                                         std::to_string(other.port()) + ", which is not followed");
  EXPECT_TRUE(Contains(FailureOf(Get("/scheme")), "https://127.0.0.1:443, which is not followed"));
  EXPECT_TRUE(Contains(FailureOf(Get("/host")), "http://localhost:1, which is not followed"));
  EXPECT_TRUE(FailureOf(Get("/file")).starts_with(Prefix(Errc::kUnavailable)));
  EXPECT_EQ(other.connections_accepted(), 0);
  EXPECT_EQ(server_.requests().size(), 4u);
}

TEST_F(TransportSafetyTest, RedirectsEnd) {
  server_.Script("/a", {Reply(302, "", "Location: /a\r\n")});
  EXPECT_EQ(FailureOf(Get("/a")), Prefix(Errc::kUnavailable) + "too many redirects");
  EXPECT_EQ(server_.requests().size(), 6u) << "the request and five redirects";
}

TEST_F(TransportSafetyTest, AddressesOfRedirectsAreBounded) {
  std::string longest = "/b?";
  longest.resize(kLocationBytesMax, 'x');
  server_.Script("/a", {Reply(302, "", "Location: " + longest + "\r\n")});
  server_.Script("/longer", {Reply(302, "", "Location: " + longest + "x\r\n")});
  server_.Script("/b", {Reply(200, "here")});
  const auto handler = Run(Get("/a"));
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->body(), "here");
  EXPECT_EQ(FailureOf(Get("/longer")),
            Prefix(Errc::kUnavailable) + "redirected to an address too long");
}

TEST_F(TransportSafetyTest, APostIsRepeatedOrBecomesAGet) {
  server_.Script("/303", {Reply(303, "", "Location: /end\r\n")});
  server_.Script("/307", {Reply(307, "", "Location: /end\r\n")});
  server_.Script("/end", {Reply(200)});
  for (const char* path : {"/303", "/307"}) {
    Request request = Get(path);
    request.method = "POST";
    request.body = "a=b";
    ASSERT_TRUE(Run(request)->Wait());
  }
  EXPECT_TRUE(server_.requests().at(1).starts_with("GET /end "));
  EXPECT_TRUE(server_.requests().at(3).starts_with("POST /end "));
  EXPECT_TRUE(server_.requests().at(3).ends_with("a=b"));
}

TEST_F(TransportSafetyTest, OnlyMetadataIsAskedForCompressed) {
  server_.Script("/a", {Reply(200, GzipSample(), "Content-Encoding: gzip\r\n")});
  const auto metadata = Run(Get("/a"));
  ASSERT_TRUE(metadata->Wait());
  EXPECT_EQ(metadata->body(), GzipSampleText());
  EXPECT_EQ(metadata->Wait()->body_bytes, 300'000);
  const auto download = Run(Get("/a", Lane::kDownload));
  ASSERT_TRUE(download->Wait());
  EXPECT_EQ(download->body(), GzipSample());
  EXPECT_TRUE(Contains(server_.requests().at(0), "Accept-Encoding: gzip\r\n"));
  EXPECT_FALSE(Contains(server_.requests().at(1), "Accept-Encoding"));
}

TEST_F(TransportSafetyTest, DamagedCompressionIsAnError) {
  std::string damaged = GzipSample();
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x55);
  server_.Script("/a", {Reply(200, damaged, "Content-Encoding: gzip\r\n")});
  EXPECT_EQ(FailureOf(Get("/a")), Prefix(Errc::kUnavailable) + "damaged content encoding");
}

TEST_F(TransportSafetyTest, GoesThroughTheProxy) {
  server_.Script("http://nbia.example.test/a", {Reply(200, "proxied")});
  options_.proxy = server_.Url("");
  Request request = Get("/a");
  request.url = "http://nbia.example.test/a?b";
  const auto handler = Run(request);
  ASSERT_TRUE(handler->Wait()) << handler->Wait().error().message;
  EXPECT_EQ(handler->body(), "proxied");
  EXPECT_TRUE(
      server_.requests().at(0).starts_with("GET http://nbia.example.test/a?b HTTP/1.1\r\n"));
}

TEST_F(TransportSafetyTest, ATunnelRefusedByTheProxyIsNamedAndHidesTheRequest) {
  server_.Script("nbia.example.test:443", {Reply(407)});
  options_.proxy = server_.Url("");
  Request request = Get("/a");
  request.url = "https://nbia.example.test/secret";
  request.headers = {{"api_key", "k"}};
  EXPECT_EQ(FailureOf(request), std::string(ErrcName(Errc::kUnavailable)) +
                                    " nbia.example.test: the proxy answered 407");
  ASSERT_EQ(server_.requests().size(), 1u);
  EXPECT_FALSE(Contains(server_.requests().at(0), "api_key"));
  EXPECT_FALSE(Contains(server_.requests().at(0), "secret"));
}

}  // namespace
}  // namespace tciafs::http
