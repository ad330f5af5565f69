// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <fmt/core.h>
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <semaphore>
#include <stop_token>

#include "cli/archive_stack.h"
#include "cli/credentials.h"
#include "cli/daemon_link.h"
#include "cli/doctor_checks.h"
#include "cli/limits.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/nbia/nbia_source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

constexpr int64_t kClockSkewMs = 300'000;  // more, and certificates and tokens are misjudged
constexpr size_t kAskingThreads = 2;

// "Thu, 26 Nov 2026 23:38:38 GMT" (RFC 9110 section 5.6.7).
std::optional<int64_t> ParseHttpDate(const std::string& text) {
  struct tm fields {};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &fields);
  if (text.empty() || end == nullptr) return std::nullopt;
  return static_cast<int64_t>(::timegm(&fields)) * 1000;
}

// Passes everything on, and keeps what the last answer said of the time.
class DateKeeper final : public http::Transport {
 public:
  explicit DateKeeper(http::Transport& transport) : transport_(transport) {}

  std::shared_ptr<http::Transfer> Start(http::Request request,
                                        std::shared_ptr<http::ResponseHandler> handler) override {
    return transport_.Start(std::move(request), std::make_shared<Listener>(*this, handler));
  }
  std::string date() const {
    MutexLock lock(mutex_);
    return date_;
  }

 private:
  class Listener final : public http::ResponseHandler {
   public:
    Listener(DateKeeper& keeper, std::shared_ptr<http::ResponseHandler> handler)
        : keeper_(keeper), handler_(std::move(handler)) {}
    Status OnHead(const http::ResponseHead& head) override {
      {
        MutexLock lock(keeper_.mutex_);
        keeper_.date_ = head.Header("date");
      }
      return handler_->OnHead(head);
    }
    Status OnData(ByteView bytes) override { return handler_->OnData(bytes); }
    bool OnRestart() override { return handler_->OnRestart(); }
    void OnDone(Result<http::TransferStats> result) override {
      handler_->OnDone(std::move(result));
    }

   private:
    DateKeeper& keeper_;
    const std::shared_ptr<http::ResponseHandler> handler_;
  };

  http::Transport& transport_;
  mutable Mutex mutex_;
  std::string date_ TCIAFS_GUARDED_BY(mutex_);
};

class NoMemory final : public nbia::ServerMemory {
 public:
  std::string Load(const std::string&) override { return ""; }
  void Save(const std::string&, const std::string&) override {}
};

// One server being asked. Everything it refers to outlives it.
class Asking {
 public:
  using Collections = std::vector<source::CollectionRecord>;

  Asking(const nbia::NbiaOptions& options, http::Transport& transport, NoMemory& memory,
         const Clock& clock, Executor& executor, Scheduler& scheduler)
      : clock_(clock), keeper_(transport), begun_ms_(clock.MonotonicMs()) {
    source_ = nbia::CreateNbiaSource(options, keeper_, memory, clock, executor, scheduler);
    source_->ListCollections(stop_.get_token(), [this](Result<Collections> answer) {
      answer_ = std::move(answer);
      ended_ms_ = clock_.MonotonicMs();
      answered_.release();
    });
  }

  void Finish(int64_t deadline_ms, ServerLook& look) {
    const int64_t left_ms = std::max<int64_t>(deadline_ms - clock_.MonotonicMs(), 0);
    const bool in_time = answered_.try_acquire_for(std::chrono::milliseconds(left_ms));
    if (!in_time) {
      stop_.request_stop();
      answered_.acquire();
      ended_ms_ = clock_.MonotonicMs();
      answer_ = Fail(Errc::kTimedOut, fmt::format("{}: no answer within {} s", source_->name(),
                                                  kDoctorPatienceMs / 1000));
    }
    look.api = source_->status().api;
    look.duration_ms = ended_ms_ - begun_ms_;
    look.date_unix_ms = ParseHttpDate(keeper_.date());
    look.now_unix_ms = clock_.UnixMs();
    if (answer_)
      look.collections = answer_->size();
    else
      look.error = answer_.error();
  }

 private:
  const Clock& clock_;
  DateKeeper keeper_;
  const int64_t begun_ms_;
  int64_t ended_ms_ = 0;
  std::stop_source stop_;
  Result<Collections> answer_;
  std::binary_semaphore answered_{0};
  std::unique_ptr<source::Source> source_;
};

bool Says(const Error& error, std::string_view words) {
  return error.message.find(words) != std::string::npos;
}

std::string RemedyFor(const ServerLook& look) {
  const Error& error = *look.error;
  const std::string host = HostOf(look.url);
  if (Says(error, "name of the proxy not found"))
    return "check --proxy, or http_proxy and https_proxy in the environment";
  if (Says(error, "the proxy answered"))
    return "ask whoever runs the proxy, or name another with --proxy";
  if (Says(error, "host name not found"))
    return fmt::format("check its spelling, and whether this machine finds names: getent hosts {}",
                       host.substr(0, host.rfind(':')));
  if (Says(error, "certificates of the authorities")) return "check the file that --cacert names";
  if (Says(error, "TLS certificate not accepted"))
    return "if its certificate comes from an authority of your own, name that with --cacert; check "
           "this machine's clock as well (date)";
  if (Says(error, "TLS handshake failed"))
    return "check that the server speaks TLS there (https:// or http://), and no proxy or firewall "
           "is in between";
  if (Says(error, "password is wrong")) return "see CREDENTIALS in man tciafs";
  if (error.code == Errc::kUnauthenticated)
    return look.account.empty() ? "the server wants an account; see CREDENTIALS in man tciafs"
                                : "check user name and password; see CREDENTIALS in man tciafs";
  if (error.code == Errc::kPermission) return "ask whoever runs the server for access";
  if (error.code == Errc::kTimedOut)
    return "a firewall may be in the way, or a proxy be needed (--proxy); or the server is busy, "
           "then try again";
  if (Says(error, "no NBIA API")) return "";  // it says so itself
  if (Says(error, "HTTP 404")) return "check the path of the URL; it usually ends in /nbia-api";
  if (Says(error, "web page"))
    return "open it in a browser: a network may want you to sign in first";
  return "check host and port, and whether a firewall or proxy is in the way; or the server is "
         "down, then try again later";
}

// "user:password@" is taken out.
std::string WithoutSecrets(const std::string& url) {
  const size_t scheme = url.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t at = url.rfind('@');  // a password may have more of them
  return at == std::string::npos || at < begin ? url : url.substr(0, begin) + url.substr(at + 1);
}

bool IsExempt(const std::string& host, const std::string& list) {
  for (std::string_view word : SplitText(list, ',')) {
    word = TrimBlanks(word);
    if (word == "*") return true;
    if (word.starts_with('.')) word.remove_prefix(1);
    if (!word.empty() &&
        (EqualsIgnoringCase(host, word) || (host.size() > word.size() && host.ends_with(word) &&
                                            host[host.size() - word.size() - 1] == '.')))
      return true;
  }
  return false;
}

std::string FirstOf(const Caller& caller, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = caller.environment(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

Findings CheckProxyNames(const MountSettings& settings, const Caller& caller) {
  const bool plain = std::any_of(settings.servers.begin(), settings.servers.end(),
                                 [](const std::string& url) { return url.starts_with("http://"); });
  if (!plain || !settings.proxy.empty() || FirstOf(caller, {"HTTP_PROXY"}).empty() ||
      !FirstOf(caller, {"http_proxy"}).empty())
    return {};
  return {Finding::Warn("HTTP_PROXY in the environment is not used for http://",
                        "say http_proxy, or --proxy")};
}

}  // namespace

std::string ProxyFor(const std::string& url, const MountSettings& settings, const Caller& caller) {
  std::string host = HostOf(url);
  host = host.substr(0, host.rfind(':'));
  if (IsExempt(host, FirstOf(caller, {"no_proxy", "NO_PROXY"}))) return "";
  if (!settings.proxy.empty()) return WithoutSecrets(settings.proxy);
  // The capital form of http_proxy can be set by a request to a CGI program: curl ignores it.
  return WithoutSecrets(
      url.starts_with("https://")
          ? FirstOf(caller, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
          : FirstOf(caller, {"http_proxy", "all_proxy", "ALL_PROXY"}));
}

Findings DescribeServer(const ServerLook& look) {
  Findings findings;
  const std::string host = HostOf(look.url);
  const std::string way = look.proxy.empty() ? "" : " (through the proxy " + look.proxy + ")";
  if (look.error) {
    ExitCode code = ExitCodeOf(look.error->code);
    if (code == ExitCode::kFailed) code = ExitCode::kArchive;
    findings.push_back(Finding::Fail(code, look.error->message + way, RemedyFor(look)));
  } else if (look.collections == 0) {
    findings.push_back(Finding::Warn(host + ": answers" + way + ", and lists no collection",
                                     look.account.empty()
                                         ? "it may want an account; see CREDENTIALS in man tciafs"
                                         : "perhaps the account may see none"));
  } else {
    findings.push_back(Finding::Ok(
        fmt::format("{}: API {}, {} collection{} for {}, in {} ms{}", host, look.api,
                    look.collections, look.collections == 1 ? "" : "s",
                    look.account.empty() ? "the guest" : look.account, look.duration_ms, way)));
  }
  if (look.sends_secret && look.url.starts_with("http://") && !IsThisMachine(host))
    findings.push_back(
        Finding::Warn(host + ": credentials travel there without encryption", "use https"));
  if (look.date_unix_ms && std::abs(*look.date_unix_ms - look.now_unix_ms) > kClockSkewMs)
    findings.push_back(Finding::Warn(
        fmt::format("this machine's clock is {} min {} that of {}",
                    std::abs(*look.date_unix_ms - look.now_unix_ms) / 60'000,
                    look.now_unix_ms > *look.date_unix_ms ? "ahead of" : "behind", host),
        "set it (timedatectl set-ntp true); certificates and tokens depend on it"));
  return findings;
}

Findings CheckServers(const MountSettings& settings, const Caller& caller) {
  if (settings.offline)
    return {Finding::Ok("offline: no server is asked; leave out --offline to use the archive")};
  Findings findings = CheckProxyNames(settings, caller);
  const SystemClock clock;
  TimerThread timers;
  WorkerPool workers("tciafs-work", kAskingThreads);
  auto transport = http::CreateCurlTransport(CurlOptionsFor(settings, clock));
  if (!transport) {
    findings.push_back(
        Finding::Fail(ExitCode::kArchive, transport.error().message, "check --cacert and --proxy"));
    return findings;
  }
  NoMemory memory;
  std::vector<ServerLook> looks;
  std::vector<std::unique_ptr<Asking>> askings;
  const int64_t deadline_ms = clock.MonotonicMs() + kDoctorPatienceMs;
  for (const std::string& server : settings.servers) {
    auto options = NbiaOptionsFor(settings, server, caller);
    if (!options) continue;  // told by CheckSecrets
    options->io_timeout_ms = std::min(settings.io_timeout_ms, kDoctorPatienceMs);
    ServerLook look;
    look.url = server;
    look.proxy = ProxyFor(server, settings, caller);
    if (options->credentials.username != nbia::Credentials().username)
      look.account = options->credentials.username;
    look.sends_secret = !options->credentials.password.empty() || options->credentials.login ||
                        !options->api_key.empty();
    looks.push_back(std::move(look));
    askings.push_back(
        std::make_unique<Asking>(*options, **transport, memory, clock, workers, timers));
  }
  for (size_t i = 0; i < looks.size(); ++i) {
    askings[i]->Finish(deadline_ms, looks[i]);
    const Findings more = DescribeServer(looks[i]);
    findings.insert(findings.end(), more.begin(), more.end());
  }
  return findings;
}

}  // namespace tciafs::cli
