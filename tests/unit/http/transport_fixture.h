// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A transport and a scripted server on the loopback interface for it to talk to. Requests have
// short waits between attempts.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "support/scripted_server.h"
#include "tciafs/http/curl_transport.h"
#include "unit/http/recording_handler.h"

namespace tciafs::testing {

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class TransportTest : public ::testing::Test {
 protected:
  TransportTest() {
    options_.user_agent = "tciafs-test";
    options_.clock = &clock_;
    options_.random_seed = 1;
  }

  http::Transport& transport() {
    if (!transport_) transport_ = http::CreateCurlTransport(options_).value();
    return *transport_;
  }
  http::Request Get(const std::string& path, http::Lane lane = http::Lane::kMetadata) {
    http::Request request;
    request.url = server_.Url(path);
    request.lane = lane;
    request.stall_timeout_ms = 5000;
    request.retry.backoff_first_ms = 2;
    request.retry.backoff_max_ms = 4;
    return request;
  }
  std::shared_ptr<RecordingHandler> Run(http::Request request) {
    auto handler = std::make_shared<RecordingHandler>();
    transport().Start(std::move(request), handler);
    handler->Wait();
    return handler;
  }
  // "kCode message".
  std::string FailureOf(http::Request request) {
    const auto result = Run(std::move(request))->Wait();
    return result ? "success"
                  : std::string(ErrcName(result.error().code)) + " " + result.error().message;
  }

  SystemClock clock_;
  ScriptedServer server_;
  http::CurlOptions options_;
  std::unique_ptr<http::Transport> transport_;  // goes first
};

// How FailureOf begins for a failure told of the scripted server.
inline std::string Prefix(Errc code) { return std::string(ErrcName(code)) + " 127.0.0.1: "; }

}  // namespace tciafs::testing
