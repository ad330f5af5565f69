// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Fetch: whole small answers.
#include <gtest/gtest.h>

#include <future>
#include <string>

#include "unit/http/gzip_sample.h"
#include "unit/http/transport_fixture.h"

namespace tciafs::http {
namespace {

using namespace testing;  // NOLINT: the vocabulary of the scripts

class FetchTest : public TransportTest {
 protected:
  Result<Response> FetchAll(const std::string& path, size_t body_bytes_max) {
    std::promise<Result<Response>> promise;
    auto answer = promise.get_future();
    Fetch(transport(), Get(path), body_bytes_max,
          [&](Result<Response> response) { promise.set_value(std::move(response)); });
    return answer.get();
  }
};

TEST_F(FetchTest, CollectsHeadAndBody) {
  server_.Script("/a", {Reply(404, "not here", "X-A: b\r\n")});
  const auto response = FetchAll("/a", 8);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->head.status, 404);
  EXPECT_EQ(response->head.Header("x-a"), "b");
  EXPECT_EQ(response->body, "not here");
}

TEST_F(FetchTest, StopsAtItsLimit) {
  server_.Script("/a", {Reply(200, "123456789")});
  const auto response = FetchAll("/a", 8);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, Errc::kUnavailable);
  EXPECT_EQ(response.error().message, "127.0.0.1: answer larger than 8 B");
}

TEST_F(FetchTest, TheLimitIsOnWhatComesOutOfCompression) {
  server_.Script("/a", {Reply(200, GzipSample(), "Content-Encoding: gzip\r\n")});
  EXPECT_TRUE(FetchAll("/a", 300'000));
  EXPECT_FALSE(FetchAll("/a", 299'999));
}

TEST_F(FetchTest, StartsAgainWhenTheBodyBreaks) {
  server_.Script("/a", {Send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhal"), Close()});
  server_.Script("/a", {Reply(200, "entire")});
  const auto response = FetchAll("/a", 6);
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "entire");
}

TEST_F(FetchTest, PassesErrorsOn) {
  options_.offline = true;
  EXPECT_EQ(FetchAll("/a", 6).error().code, Errc::kOffline);
}

}  // namespace
}  // namespace tciafs::http
