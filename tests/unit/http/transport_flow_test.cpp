// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Stalls, pauses and what becomes of held pieces.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "unit/http/gzip_sample.h"
#include "unit/http/transport_fixture.h"

namespace tciafs::http {
namespace {

using namespace testing;  // NOLINT: the vocabulary of the scripts

class TransportFlowTest : public TransportTest {};

TEST_F(TransportFlowTest, StallsBeforeTheHeadAndIsNotTriedAgain) {
  server_.Script("/a", {Stall()});
  Request request = Get("/a");
  request.stall_timeout_ms = 150;
  EXPECT_EQ(FailureOf(request), Prefix(Errc::kTimedOut) + "no answer within 0.15 s");
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(TransportFlowTest, StallsInsideTheBody) {
  server_.Script("/a", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Stall()});
  Request request = Get("/a");
  request.stall_timeout_ms = 150;
  EXPECT_EQ(FailureOf(request), Prefix(Errc::kTimedOut) + "no data for 0.15 s after 4 bytes");
}

TEST_F(TransportFlowTest, SlowIsNotStalled) {
  server_.Script("/a", {Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"), Delay(120), Send("a"),
                        Delay(120), Send("bc"), Delay(120), Send("def")});
  Request request = Get("/a");
  request.stall_timeout_ms = 250;
  const auto handler = Run(request);
  ASSERT_TRUE(handler->Wait()) << handler->Wait().error().message;
  EXPECT_EQ(handler->body(), "abcdef");
}

TEST_F(TransportFlowTest, PauseStopsTheFlowAndPausedTimeDoesNotCount) {
  constexpr int64_t kBodyBytes = 32'000'000;
  for (const std::string framing : {"Content-Length: 32000000\r\n", "Connection: close\r\n"}) {
    ScriptedServer server;
    server.LimitSendBuffer(64 * 1024);
    server.Script("/d",
                  {Send("HTTP/1.1 200 OK\r\n" + framing + "\r\n"), SendMany(kBodyBytes), Close()});
    Request request = Get("/d", Lane::kDownload);
    request.url = server.Url("/d");
    request.stall_timeout_ms = 200;
    auto handler = std::make_shared<RecordingHandler>();
    const auto transfer = transport().Start(request, handler);
    transfer->Pause();
    ASSERT_TRUE(server.WaitUntil([&] { return server.bytes_sent() > 0; }));
    // Longer than the stall time. Nothing arrives, and the server cannot send it all.
    std::this_thread::sleep_for(std::chrono::milliseconds(450));
    EXPECT_LT(server.bytes_sent(), kBodyBytes / 2);
    EXPECT_EQ(handler->body().size(), 0u);
    EXPECT_FALSE(handler->done());
    transfer->Resume();
    const auto result = handler->Wait();
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->body_bytes, kBodyBytes);
  }
}

TEST_F(TransportFlowTest, PausingFromTheHandlerHoldsTheNextPiece) {
  constexpr int64_t kBodyBytes = 3'000'000;
  server_.Script(
      "/d", {Send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"), SendMany(kBodyBytes)});
  auto handler = std::make_shared<RecordingHandler>();
  std::shared_ptr<Transfer> transfer;
  std::mutex mutex;  // the handler may run before Start returns
  int pieces = 0;
  handler->on_data = [&](ByteView) {
    std::lock_guard lock(mutex);
    transfer->Pause();
    ++pieces;
    return Status();
  };
  {
    std::lock_guard lock(mutex);
    transfer = transport().Start(Get("/d", Lane::kDownload), handler);
  }
  while (!handler->done()) {
    int before = 0;
    {
      std::lock_guard lock(mutex);
      before = pieces;
    }
    transfer->Resume();
    ASSERT_TRUE(server_.WaitUntil([&] {
      std::lock_guard lock(mutex);
      return pieces > before || handler->done();
    }));
    std::lock_guard lock(mutex);
    EXPECT_LE(pieces, before + 1);
  }
  ASSERT_TRUE(handler->Wait());
  EXPECT_EQ(handler->body(), std::string(kBodyBytes, 'x'));
}

// The server is done and gone long before the consumer takes a byte.
TEST_F(TransportFlowTest, WhatWasHeldWhenTheServerLeftComesWhole) {
  const std::string gzip = GzipSample();
  server_.Script("/chunked",
                 {Hold("/chunked"), Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                  Send("5\r\nhello\r\n"), Send("6\r\n world\r\n0\r\n\r\n"), Close()});
  server_.Script("/gzip", {Hold("/gzip"), Reply(200, gzip, "Content-Encoding: gzip\r\n"), Close()});
  server_.Script("/close", {Hold("/close"), Send("HTTP/1.1 200 OK\r\n\r\nbody"), Close()});
  size_t asked = 0;
  for (const auto& [path, body] : {std::pair<std::string, std::string>{"/chunked", "hello world"},
                                   {"/gzip", GzipSampleText()},
                                   {"/close", "body"}}) {
    auto handler = std::make_shared<RecordingHandler>();
    const auto transfer = transport().Start(Get(path), handler);
    transfer->Pause();
    server_.Release(path);
    ++asked;
    ASSERT_TRUE(server_.WaitUntil(
        [&] { return server_.connections_open() == 0 && server_.requests().size() == asked; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(handler->done());
    transfer->Resume();
    const auto result = handler->Wait();
    ASSERT_TRUE(result) << path << ": " << result.error().message;
    EXPECT_EQ(handler->body(), body) << path;
  }
}

TEST_F(TransportFlowTest, AHandlersErrorWhileReadingOnEndsTheTransfer) {
  server_.Script("/a", {Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), Stall()});
  auto handler = std::make_shared<RecordingHandler>();
  handler->on_data = [](ByteView) -> Status { return Fail(Errc::kNoSpace, "full"); };
  const auto transfer = transport().Start(Get("/a"), handler);
  transfer->Pause();
  ASSERT_TRUE(server_.WaitForRequests(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  transfer->Resume();
  EXPECT_EQ(handler->Wait().error().code, Errc::kNoSpace);
  EXPECT_EQ(handler->calls_after_done(), 0);
}

TEST_F(TransportFlowTest, PausingAndResumingFromManyThreadsLosesNothing) {
  constexpr int64_t kBodyBytes = 8'000'000;
  server_.Script(
      "/d", {Send("HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n"), SendMany(kBodyBytes)});
  auto handler = std::make_shared<RecordingHandler>();
  const auto transfer = transport().Start(Get("/d", Lane::kDownload), handler);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&] {
      for (int turn = 0; turn < 2000; ++turn) {
        transfer->Pause();
        transfer->Resume();
      }
    });
  for (auto& thread : threads) thread.join();
  const auto result = handler->Wait();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(handler->body(), std::string(kBodyBytes, 'x'));
}

}  // namespace
}  // namespace tciafs::http
