// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Requests and answers, lanes, and the ends of things.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "unit/http/transport_fixture.h"

namespace tciafs::http {
namespace {

using namespace testing;  // NOLINT: the vocabulary of the scripts

class CurlTransportTest : public TransportTest {};

TEST_F(CurlTransportTest, DeliversHeadBodyAndEndInOrder) {
  server_.Script("/a", {Reply(200, "hello", "X-Thing: One\r\n")});
  Request request = Get("/a?q=1");
  request.headers = {{"Authorization", "Bearer t"}, {"X-Empty", ""}};
  const auto handler = Run(request);
  const auto result = handler->Wait();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->body_bytes, 5);
  EXPECT_EQ(result->attempts, 1);
  EXPECT_EQ(handler->head().status, 200);
  EXPECT_EQ(handler->head().Header("x-thing"), "One");
  EXPECT_EQ(handler->body(), "hello");
  EXPECT_NE(handler->done_thread(), std::this_thread::get_id());
  const std::string sent = server_.requests().at(0);
  EXPECT_TRUE(sent.starts_with("GET /a?q=1 HTTP/1.1\r\n"));
  EXPECT_TRUE(Contains(sent, "\r\nAuthorization: Bearer t\r\n"));
  EXPECT_TRUE(Contains(sent, "\r\nUser-Agent: tciafs-test\r\n"));
  EXPECT_TRUE(Contains(sent, "\r\nX-Empty:\r\n"));
}

TEST_F(CurlTransportTest, PostsABodyAndKeepsTheConnection) {
  server_.Script("/token", {Reply(200, "{}")});
  Request request = Get("/token");
  request.method = "POST";
  request.body = "a=b&c=d";
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Run(request)->Wait());
  EXPECT_TRUE(server_.requests().at(2).starts_with("POST /token HTTP/1.1\r\n"));
  EXPECT_TRUE(server_.requests().at(2).ends_with("\r\n\r\na=b&c=d"));
  EXPECT_EQ(server_.connections_accepted(), 1);
}

TEST_F(CurlTransportTest, HeadHasNoBody) {
  server_.Script("/h", {Send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")});
  Request request = Get("/h");
  request.method = "HEAD";
  const auto handler = Run(request);
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->head().Header("content-length"), "1000");
  EXPECT_EQ(handler->body(), "");
}

TEST_F(CurlTransportTest, OtherStatusesAreNotErrorsAndNotTriedAgain) {
  for (const int status : {204, 304, 400, 401, 403, 404, 501}) {
    const std::string path = "/" + std::to_string(status);
    server_.Script(path, {Reply(status)});
    const auto handler = Run(Get(path));
    ASSERT_TRUE(handler->Wait()) << status;
    EXPECT_EQ(handler->head().status, status);
    EXPECT_EQ(handler->Wait()->attempts, 1);
  }
  EXPECT_EQ(server_.requests().size(), 7u);
}

TEST_F(CurlTransportTest, RefusesRequestsThatWouldForgeHeaders) {
  Request request = Get("/a");
  request.headers = {{"X-A", "b\r\nX-Evil: c"}};
  EXPECT_TRUE(FailureOf(request).starts_with(Prefix(Errc::kInvalidArgument)));
  request.headers.clear();
  request.method = "GET / HTTP/1.1\r\nX:";
  EXPECT_TRUE(FailureOf(request).starts_with(Prefix(Errc::kInvalidArgument)));
  request = Get("/a");
  request.url = "file:///etc/passwd";
  EXPECT_TRUE(FailureOf(request).starts_with(std::string(ErrcName(Errc::kInvalidArgument))));
  EXPECT_EQ(server_.requests().size(), 0u);
}

TEST_F(CurlTransportTest, LimitsDownloadsApartFromMetadata) {
  options_.downloads_max = 2;
  options_.connections_max = 3;
  server_.Script("/d", {Hold("downloads"), Reply(200, "d")});
  server_.Script("/m", {Reply(200, "m")});
  std::vector<std::shared_ptr<RecordingHandler>> downloads;
  for (int i = 0; i < 5; ++i) {
    downloads.push_back(std::make_shared<RecordingHandler>());
    transport().Start(Get("/d", Lane::kDownload), downloads.back());
  }
  ASSERT_TRUE(server_.WaitForRequests(2));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Run(Get("/m"))->Wait());
  EXPECT_EQ(server_.requests().size(), 6u) << "two downloads, four listings";
  EXPECT_TRUE(server_.WaitUntil([&] { return server_.in_service() == 2; }));
  EXPECT_EQ(server_.connections_accepted(), 3);
  server_.Release("downloads");
  for (auto& download : downloads) EXPECT_TRUE(download->Wait());
  EXPECT_EQ(server_.requests().size(), 9u);
}

TEST_F(CurlTransportTest, TimeInTheQueueDoesNotCount) {
  options_.connections_max = 1;
  server_.Script("/slow", {Delay(300), Reply(200)});
  server_.Script("/quick", {Reply(200)});
  auto slow = std::make_shared<RecordingHandler>();
  transport().Start(Get("/slow"), slow);
  Request quick = Get("/quick");
  quick.stall_timeout_ms = 100;
  quick.connect_timeout_ms = 100;
  EXPECT_TRUE(Run(quick)->Wait());
  EXPECT_TRUE(slow->Wait());
}

TEST_F(CurlTransportTest, NeedsAClockAndConnections) {
  CurlOptions options;
  EXPECT_EQ(CreateCurlTransport(options).error().code, Errc::kInvalidArgument);
  options.clock = &clock_;
  options.connections_max = 0;
  EXPECT_EQ(CreateCurlTransport(options).error().code, Errc::kInvalidArgument);
}

TEST_F(CurlTransportTest, OfflineAsksNobody) {
  options_.offline = true;
  const auto handler = Run(Get("/a"));
  EXPECT_EQ(handler->Wait().error().code, Errc::kOffline);
  EXPECT_NE(handler->done_thread(), std::this_thread::get_id());
  EXPECT_EQ(server_.connections_accepted(), 0);
}

TEST_F(CurlTransportTest, AHandlersErrorsEndTheTransfer) {
  server_.Script("/a", {Reply(200, "body")});
  auto head = std::make_shared<RecordingHandler>();
  head->on_head = [](const ResponseHead&) -> Status { return Fail(Errc::kStale, "head"); };
  transport().Start(Get("/a"), head);
  EXPECT_EQ(head->Wait().error().message, "head");
  EXPECT_EQ(head->body(), "");
  auto data = std::make_shared<RecordingHandler>();
  data->on_data = [](ByteView) -> Status { return Fail(Errc::kCorrupt, "data"); };
  transport().Start(Get("/a"), data);
  EXPECT_EQ(data->Wait().error().message, "data");
  server_.Script("/empty", {Reply(200)});
  auto empty = std::make_shared<RecordingHandler>();
  empty->on_head = head->on_head;
  transport().Start(Get("/empty"), empty);
  EXPECT_EQ(empty->Wait().error().message, "head");
  EXPECT_EQ(server_.requests().size(), 3u);
}

TEST_F(CurlTransportTest, CancelsAtEveryStage) {
  options_.connections_max = 1;
  server_.Script("/head", {Stall()});
  server_.Script("/body", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Stall()});
  server_.Script("/busy", {Reply(503, "", "Retry-After: 30\r\n")});

  auto head = std::make_shared<RecordingHandler>();
  const auto in_head = transport().Start(Get("/head"), head);
  ASSERT_TRUE(server_.WaitForRequests(1));
  auto queued = std::make_shared<RecordingHandler>();
  transport().Start(Get("/never"), queued)->Cancel();
  EXPECT_EQ(queued->Wait().error().code, Errc::kCancelled);
  in_head->Cancel();
  EXPECT_EQ(head->Wait().error().code, Errc::kCancelled);

  auto body = std::make_shared<RecordingHandler>();
  const auto in_body = transport().Start(Get("/body"), body);
  ASSERT_TRUE(body->WaitForBody(4));
  in_body->Cancel();
  EXPECT_EQ(body->Wait().error().code, Errc::kCancelled);

  auto waiting = std::make_shared<RecordingHandler>();
  const auto in_wait = transport().Start(Get("/busy"), waiting);
  ASSERT_TRUE(server_.WaitForRequests(3));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  in_wait->Cancel();
  EXPECT_EQ(waiting->Wait().error().code, Errc::kCancelled);

  for (const auto& transfer : {in_head, in_body, in_wait}) transfer->Cancel();  // once more
  server_.Script("/a", {Reply(200)});
  EXPECT_TRUE(Run(Get("/a"))->Wait()) << "all places are free again";
  for (const auto& handler : {head, queued, body, waiting})
    EXPECT_EQ(handler->calls_after_done(), 0);
}

TEST_F(CurlTransportTest, CancelsWhilePausedAndFromTheHandler) {
  server_.Script("/d",
                 {Send("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n"), SendMany(9'000'000)});
  auto paused = std::make_shared<RecordingHandler>();
  const auto transfer = transport().Start(Get("/d"), paused);
  transfer->Pause();
  ASSERT_TRUE(server_.WaitUntil([&] { return server_.bytes_sent() > 0; }));
  transfer->Cancel();
  transfer->Resume();
  EXPECT_EQ(paused->Wait().error().code, Errc::kCancelled);

  auto own = std::make_shared<RecordingHandler>();
  std::promise<std::shared_ptr<Transfer>> started;
  const auto handle = started.get_future().share();
  int pieces = 0;
  own->on_data = [&](ByteView) {
    ++pieces;
    handle.get()->Cancel();
    return Status();
  };
  started.set_value(transport().Start(Get("/d"), own));
  EXPECT_EQ(own->Wait().error().code, Errc::kCancelled);
  EXPECT_EQ(pieces, 1) << "nothing arrives after Cancel";
}

TEST_F(CurlTransportTest, DestructionCancelsWhatIsInFlight) {
  options_.connections_max = 2;
  server_.Script("/stall", {Stall()});
  server_.Script("/busy", {Reply(503, "", "Retry-After: 30\r\n")});
  std::vector<std::shared_ptr<RecordingHandler>> handlers;
  std::vector<std::shared_ptr<Transfer>> transfers;
  auto late = std::make_shared<RecordingHandler>();
  Transport* const started = &transport();
  for (const std::string path : {"/busy", "/stall", "/stall", "/stall", "/last"}) {
    handlers.push_back(std::make_shared<RecordingHandler>());
    // Started by a handler that is told of the end: it ends, too.
    if (path == "/last") handlers.back()->on_done = [&] { started->Start(Get("/stall"), late); };
    transfers.push_back(transport().Start(Get(path), handlers.back()));
  }
  ASSERT_TRUE(server_.WaitForRequests(3));
  transport_.reset();
  for (const auto& handler : handlers) {
    EXPECT_TRUE(handler->done());
    EXPECT_EQ(handler->Wait().error().code, Errc::kCancelled);
    EXPECT_EQ(handler.use_count(), 1) << "the transport has let it go";
  }
  EXPECT_EQ(late->Wait().error().code, Errc::kCancelled);
  for (const auto& transfer : transfers) {  // handles outlive the transport
    transfer->Pause();
    transfer->Resume();
    transfer->Cancel();
  }
}

TEST_F(CurlTransportTest, ManyThreadsStartAndCancel) {
  server_.Script("/a", {Reply(200, "body")});
  Transport* const started = &transport();
  std::vector<std::shared_ptr<RecordingHandler>> handlers(120);
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (size_t i = thread; i < handlers.size(); i += 4) {
        handlers[i] = std::make_shared<RecordingHandler>();
        const auto lane = i % 2 == 0 ? Lane::kMetadata : Lane::kDownload;
        const auto transfer = started->Start(Get("/a", lane), handlers[i]);
        if (i % 3 == 0) transfer->Cancel();
      }
    });
  for (auto& thread : threads) thread.join();
  for (size_t i = 0; i < handlers.size(); ++i) {
    const auto result = handlers[i]->Wait();
    if (i % 3 == 0 && !result) {
      EXPECT_EQ(result.error().code, Errc::kCancelled);
      continue;
    }
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(handlers[i]->body(), "body");
  }
}

}  // namespace
}  // namespace tciafs::http
