// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which attempts are made, and what of them the handler sees.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "support/fakes.h"
#include "unit/http/transport_fixture.h"

namespace tciafs::http {
namespace {

using namespace testing;  // NOLINT: the vocabulary of the scripts

class TransportRetryTest : public TransportTest {};

TEST_F(TransportRetryTest, WithholdsRetryableAnswersUntilOneCounts) {
  server_.Script("/a", {Reset()});  // first: on a connection used before, curl itself asks again
  server_.Script("/a", {Reply(503, "busy")});
  server_.Script("/a", {Reply(429, "slow down")});
  server_.Script("/a", {Reply(200, "fine")});
  const auto handler = Run(Get("/a"));
  ASSERT_TRUE(handler->Wait()) << handler->Wait().error().message;
  EXPECT_EQ(handler->Wait()->attempts, 4);
  EXPECT_EQ(handler->heads(), 1);
  EXPECT_EQ(handler->head().status, 200);
  EXPECT_EQ(handler->body(), "fine");
}

TEST_F(TransportRetryTest, PassesTheLastAnswerThrough) {
  server_.Script("/a", {Reply(503, "busy")});
  Request request = Get("/a");
  request.retry.attempts_max = 3;
  const auto handler = Run(request);
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->Wait()->attempts, 3);
  EXPECT_EQ(handler->heads(), 1);
  EXPECT_EQ(handler->head().status, 503);
  EXPECT_EQ(handler->body(), "busy");
}

TEST_F(TransportRetryTest, A500IsRetriedOnlyWhereThePolicySaysSo) {
  server_.Script("/a", {Reply(500, "oops")});
  Request request = Get("/a");
  request.retry.retry_status_500 = false;
  const auto handler = Run(request);
  EXPECT_EQ(handler->head().status, 500);
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(TransportRetryTest, AHugeWithheldBodyIsNotReadToItsEnd) {
  server_.Script("/a", {Send("HTTP/1.1 503 Busy\r\nContent-Length: 100000000\r\n\r\n"),
                        SendMany(100'000'000)});
  server_.Script("/a", {Reply(200, "fine")});
  const auto handler = Run(Get("/a"));
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->body(), "fine");
  EXPECT_LT(server_.bytes_sent(), 50'000'000);
}

TEST_F(TransportRetryTest, RetryAfterIsHonoured) {
  FakeClock clock;
  options_.clock = &clock;
  options_.connections_max = 1;
  server_.Script("/a", {Reply(429, "", "Retry-After: 20\r\n")});
  server_.Script("/a", {Reply(200, "fine")});
  server_.Script("/b", {Reply(200)});
  auto handler = std::make_shared<RecordingHandler>();
  transport().Start(Get("/a"), handler);
  ASSERT_TRUE(server_.WaitForRequests(1));
  ASSERT_TRUE(Run(Get("/b"))->Wait()) << "the waiting one occupies no place";
  clock.Advance(19'000);
  ASSERT_TRUE(Run(Get("/b"))->Wait());
  EXPECT_FALSE(handler->done());
  EXPECT_EQ(server_.requests().size(), 3u);
  clock.Advance(1'100);
  ASSERT_TRUE(Run(Get("/b"))->Wait());
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->body(), "fine");
  transport_.reset();
}

TEST_F(TransportRetryTest, ARetryAfterBeyondTheWindowEndsTheWait) {
  server_.Script("/a", {Reply(503, "closed today", "Retry-After: 3600\r\n")});
  const auto handler = Run(Get("/a"));
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->head().status, 503);
  EXPECT_EQ(handler->body(), "closed today");
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(TransportRetryTest, RefusedConnectionsAreTriedAgainAndThenNamed) {
  std::string url;
  {
    ScriptedServer gone;
    url = gone.Url("/a?api_key=secret");
  }
  Request request = Get("/a");
  request.url = url;
  EXPECT_EQ(FailureOf(request), Prefix(Errc::kUnavailable) + "connection refused");
}

TEST_F(TransportRetryTest, AHandlerDecidesWhetherABrokenBodyStartsAgain) {
  server_.Script("/a", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal"), Close()});
  server_.Script("/a", {Reply(200, "whole body")});
  EXPECT_EQ(FailureOf(Get("/a")), Prefix(Errc::kUnavailable) + "connection closed after 3 bytes");
  EXPECT_EQ(server_.requests().size(), 1u);

  server_.Script("/b", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal"), Close()});
  server_.Script("/b", {Reply(200, "whole body")});
  auto handler = std::make_shared<RecordingHandler>();
  handler->restarts = true;
  transport().Start(Get("/b"), handler);
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->body(), "whole body");
  EXPECT_EQ(handler->heads(), 2);
  EXPECT_EQ(handler->Wait()->body_bytes, 10);
  EXPECT_EQ(handler->Wait()->attempts, 2);
}

TEST_F(TransportRetryTest, ABreakBeforeTheBodyGoesUnnoticed) {
  server_.Script("/a", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), Close()});
  server_.Script("/a", {Reply(200, "whole body")});
  const auto handler = Run(Get("/a"));
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->heads(), 1);
  EXPECT_EQ(handler->body(), "whole body");
}

}  // namespace
}  // namespace tciafs::http
