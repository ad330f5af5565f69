// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <fmt/core.h>

#include <memory>
#include <utility>

#include "http/url.h"
#include "tciafs/http/transport.h"
#include "tciafs/util/text.h"

namespace tciafs::http {
namespace {

class BodyCollector final : public ResponseHandler {
 public:
  BodyCollector(std::string host, size_t body_bytes_max, Callback<Response> done)
      : host_(std::move(host)), body_bytes_max_(body_bytes_max), done_(std::move(done)) {}

  Status OnHead(const ResponseHead& head) override {
    response_.head = head;
    return {};
  }
  Status OnData(ByteView bytes) override {
    if (bytes.size() > body_bytes_max_ - response_.body.size())
      return Fail(Errc::kUnavailable,
                  fmt::format("{}: answer larger than {}", host_,
                              FormatSize(static_cast<int64_t>(body_bytes_max_))));
    response_.body += AsText(bytes);
    return {};
  }
  bool OnRestart() override {
    response_ = {};
    return true;
  }
  void OnDone(Result<TransferStats> result) override {
    const auto done = std::exchange(done_, nullptr);
    if (!result)
      done(Fail(std::move(result).error()));
    else
      done(std::move(response_));
  }

 private:
  const std::string host_;
  const size_t body_bytes_max_;
  Callback<Response> done_;
  Response response_;
};

}  // namespace

std::shared_ptr<Transfer> Fetch(Transport& transport, Request request, size_t body_bytes_max,
                                Callback<Response> done) {
  auto collector = std::make_shared<BodyCollector>(HostForMessages(request.url), body_bytes_max,
                                                   std::move(done));
  return transport.Start(std::move(request), std::move(collector));
}

}  // namespace tciafs::http
