// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/http/curl_transport.h"

#include <curl/curl.h>

#include <random>
#include <utility>

#include "http/network_loop.h"

namespace tciafs::http {
namespace {

class CurlTransport final : public Transport {
 public:
  CurlTransport(const CurlOptions& options, CURLM* multi, uint64_t random_seed)
      : loop_(options, multi, random_seed) {}

  std::shared_ptr<Transfer> Start(Request request,
                                  std::shared_ptr<ResponseHandler> handler) override {
    return loop_.Start(std::move(request), std::move(handler));
  }

 private:
  NetworkLoop loop_;
};

// Once for the process; never undone, since other libraries may use curl as well.
bool InitCurlOnce() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  return code == CURLE_OK;
}

uint64_t SystemRandom() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32) | device();
}

}  // namespace

Result<std::unique_ptr<Transport>> CreateCurlTransport(const CurlOptions& options) {
  if (options.clock == nullptr) return Fail(Errc::kInvalidArgument, "a transport needs a clock");
  if (options.downloads_max < 1 || options.connections_max < 1)
    return Fail(Errc::kInvalidArgument, "at least one connection per host is needed");
  if (!InitCurlOnce()) return Fail(Errc::kInternal, "libcurl cannot be initialised");
  CURLM* multi = curl_multi_init();
  if (multi == nullptr) return Fail(Errc::kInternal, "out of memory");
  const uint64_t seed = options.random_seed != 0 ? options.random_seed : SystemRandom();
  return std::make_unique<CurlTransport>(options, multi, seed);
}

std::string CurlVersion() { return curl_version(); }

}  // namespace tciafs::http
