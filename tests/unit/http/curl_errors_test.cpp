// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/curl_errors.h"

#include <gtest/gtest.h>
#include <cerrno>

namespace tciafs::http {
namespace {

CurlOutcome Outcome(CURLcode code) {
  CurlOutcome outcome;
  outcome.code = code;
  outcome.host = "nbia.example.org";
  outcome.connect_timeout_ms = 1500;
  return outcome;
}

TEST(CurlErrors, ConnectionsThatNeverStoodAreTriedAgain) {
  auto refused = Outcome(CURLE_COULDNT_CONNECT);
  refused.os_error = ECONNREFUSED;
  EXPECT_EQ(ToFailure(refused).error.message, "nbia.example.org: connection refused");
  EXPECT_TRUE(ToFailure(refused).retryable);
  const auto unknown = ToFailure(Outcome(CURLE_COULDNT_RESOLVE_HOST));
  EXPECT_EQ(unknown.error.code, Errc::kUnavailable);
  EXPECT_EQ(unknown.error.message, "nbia.example.org: host name not found");
  EXPECT_TRUE(unknown.retryable);
  const auto late = ToFailure(Outcome(CURLE_OPERATION_TIMEDOUT));
  EXPECT_EQ(late.error.code, Errc::kTimedOut);
  EXPECT_EQ(late.error.message, "nbia.example.org: no connection within 1.5 s");
  EXPECT_TRUE(late.retryable);
}

TEST(CurlErrors, LostConnectionsSayHowFarTheyCame) {
  auto cut = Outcome(CURLE_PARTIAL_FILE);
  cut.head_complete = true;
  cut.body_bytes = 12;
  EXPECT_EQ(ToFailure(cut).error.message, "nbia.example.org: connection closed after 12 bytes");
  EXPECT_TRUE(ToFailure(cut).retryable);
  EXPECT_EQ(ToFailure(Outcome(CURLE_GOT_NOTHING)).error.message,
            "nbia.example.org: connection closed without an answer (server returned nothing (no "
            "headers, no data))");
}

TEST(CurlErrors, WhatWillNotChangeIsNotTriedAgain) {
  auto untrusted = Outcome(CURLE_PEER_FAILED_VERIFICATION);
  untrusted.detail = "SSL certificate problem: self-signed\ncertificate";
  EXPECT_FALSE(ToFailure(untrusted).retryable);
  EXPECT_EQ(ToFailure(untrusted).error.message,
            "nbia.example.org: TLS certificate not accepted: SSL certificate problem: self-signed "
            "certificate");
  EXPECT_FALSE(ToFailure(Outcome(CURLE_UNSUPPORTED_PROTOCOL)).retryable);
  EXPECT_FALSE(ToFailure(Outcome(CURLE_BAD_CONTENT_ENCODING)).retryable);
  EXPECT_EQ(ToFailure(Outcome(CURLE_OUT_OF_MEMORY)).error.code, Errc::kInternal);
}

TEST(CurlErrors, AProxysRefusalIsNamedAsSuch) {
  auto refused = Outcome(CURLE_RECV_ERROR);
  refused.proxy_status = 407;
  EXPECT_EQ(ToFailure(refused).error.message, "nbia.example.org: the proxy answered 407");
  EXPECT_FALSE(ToFailure(refused).retryable);
  refused.proxy_status = 503;
  EXPECT_TRUE(ToFailure(refused).retryable);
}

}  // namespace
}  // namespace tciafs::http
