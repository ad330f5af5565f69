// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/login_command.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <semaphore>
#include <vector>

#include "cli/archive_stack.h"
#include "cli/credentials.h"
#include "cli/daemon_link.h"
#include "cli/limits.h"
#include "cli/terminal.h"
#include "cli/token_store.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/nbia/login.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/log.h"

namespace tciafs::cli {
namespace {

constexpr int kInterrupts[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
constexpr size_t kWorkers = 2;

// While it lives the terminal shows nothing of what is typed, and signals that would leave it so
// are kept for AwaitInput.
class WithoutEcho {
 public:
  WithoutEcho() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigset_t kept;
    ::sigemptyset(&kept);
    for (size_t i = 0; i < std::size(kInterrupts); ++i) {
      ::sigaction(kInterrupts[i], &action, &actions_[i]);
      ::sigaddset(&kept, kInterrupts[i]);
    }
    ::sigprocmask(SIG_BLOCK, &kept, &mask_);
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL;
    changed_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &silent) == 0;
  }
  ~WithoutEcho() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    for (size_t i = 0; i < std::size(kInterrupts); ++i)
      ::sigaction(kInterrupts[i], &actions_[i], nullptr);
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }
  // False: such a signal came, now or before.
  bool AwaitInput() const {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    return ::ppoll(&input, 1, nullptr, &mask_) >= 0;
  }
  WithoutEcho(const WithoutEcho&) = delete;
  WithoutEcho& operator=(const WithoutEcho&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
  sigset_t mask_{};
  struct sigaction actions_[std::size(kInterrupts)] = {};
};

// Byte by byte: what follows the line is not ours, and no buffer keeps a copy.
Outcome<std::string> ReadLine(const WithoutEcho* quiet) {
  std::string line;
  for (char c = 0; c != '\n';) {
    if (quiet != nullptr && !quiet->AwaitInput())
      return FailWith(ExitCode::kInterrupted, "interrupted");
    const ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got <= 0) break;
    if (c != '\n') line += c;
    if (line.size() > kSecretLineBytesMax)
      return FailWith(ExitCode::kCredentials, "that line is too long");
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

Outcome<std::string> Ask(const std::string& prompt, bool secret) {
  std::optional<WithoutEcho> quiet;
  if (::isatty(STDIN_FILENO) != 0) {
    if (secret) quiet.emplace();
    std::fprintf(stderr, "%s: ", prompt.c_str());
    std::fflush(stderr);
  }
  auto line = ReadLine(quiet ? &*quiet : nullptr);
  if (!line && quiet) ::tcflush(STDIN_FILENO, TCIFLUSH);  // half a password is not for the shell
  return line;
}

// What one question to a server needs.
class Network {
 public:
  static Outcome<std::unique_ptr<Network>> Open(const MountSettings& settings) {
    auto network = std::make_unique<Network>();
    auto transport = http::CreateCurlTransport(CurlOptionsFor(settings, network->clock_));
    if (!transport) return FailWith(ExitCode::kFailed, transport.error().message);
    network->transport_ = *std::move(transport);
    return network;
  }
  nbia::LoginPorts ports() { return {*transport_, workers_, timers_}; }
  int64_t now_unix_ms() const { return clock_.UnixMs(); }

  // `start` gets the callback for the one answer.
  template <typename T, typename Start>
  Outcome<T> Await(const Start& start) {
    Result<T> answer = Fail(Errc::kInternal, "no answer");
    std::binary_semaphore answered{0};
    start([&](Result<T> result) {
      answer = std::move(result);
      answered.release();
    });
    answered.acquire();
    if (answer) return *std::move(answer);
    const ExitCode code = ExitCodeOf(answer.error().code);
    return FailWith(code, answer.error().message);
  }

 private:
  SystemClock clock_;
  TimerThread timers_;
  WorkerPool workers_{"tciafs-work", kWorkers};
  std::unique_ptr<http::Transport> transport_;
};

// A core file or a log would keep what is typed.
void LeaveNoTraces() {
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  LogOptions log;
  log.level = LogLevel::kError;
  (void)ConfigureLog(log);
}

Outcome<MountSettings> SettingsFor(const LoginArguments& arguments, const Caller& caller) {
  Settings given = arguments.given;
  given.Add("server", {arguments.url, "URL"});
  auto settings = GatherSettings(std::move(given), {}, false, caller);
  if (settings && settings->servers.size() != 1)
    return FailWith(ExitCode::kUsage, "one server at a time");
  return settings;
}

Outcome<nbia::Credentials> AskForAccount(const LoginArguments& arguments, const std::string& host) {
  nbia::Credentials account;
  account.username = arguments.username;
  if (account.username.empty()) {
    auto typed = Ask("User name at " + host, false);
    if (!typed) return tl::unexpected(typed.error());
    account.username = *std::move(typed);
  }
  const bool odd = std::any_of(account.username.begin(), account.username.end(),
                               [](unsigned char c) { return c < ' ' || c == 127; });
  if (account.username.empty() || account.username.size() > kUserNameBytesMax || odd ||
      account.username == nbia::Credentials().username)
    return FailWith(ExitCode::kCredentials, "a login needs a user name of its own, of at most " +
                                                std::to_string(kUserNameBytesMax) + " characters");
  auto password = Ask("Password of " + Printable(account.username) + " (not shown)", true);
  if (!password) return tl::unexpected(password.error());
  account.password = *std::move(password);
  return account;
}

nbia::NbiaOptions OptionsFor(const MountSettings& settings, nbia::Credentials account) {
  nbia::NbiaOptions options;
  options.root_url = settings.servers.front();
  options.credentials = std::move(account);
  options.io_timeout_ms = settings.io_timeout_ms;
  return options;
}

Outcome<void> LogIn(const LoginArguments& arguments, const Caller& caller) {
  const auto settings = SettingsFor(arguments, caller);
  if (!settings) return tl::unexpected(settings.error());
  const std::string& server = settings->servers.front();
  const std::string host = HostOf(server);
  const TokenStore store(caller);
  if (store.directory().empty())
    return FailWith(ExitCode::kFailed, "no place for the login: HOME is not set");
  if (server.starts_with("http://") && !IsThisMachine(host))
    std::fprintf(stderr, "tciafs: %s: the password travels there without encryption; use https\n",
                 host.c_str());
  auto account = AskForAccount(arguments, host);
  if (!account) return tl::unexpected(account.error());
  auto network = Network::Open(*settings);
  if (!network) return tl::unexpected(network.error());
  nbia::NbiaOptions options = OptionsFor(*settings, *account);
  const auto given = (*network)->Await<nbia::LoginGiven>([&](Callback<nbia::LoginGiven> done) {
    nbia::LogIn(options, (*network)->ports(), {}, std::move(done));
  });
  for (std::string* password : {&options.credentials.password, &account->password})
    ::explicit_bzero(password->data(), password->size());
  if (!given && given.error().code == ExitCode::kCredentials)
    return FailWith(ExitCode::kCredentials,
                    given.error().message + ": user name or password is wrong");
  if (!given) return tl::unexpected(given.error());
  const StoredLogin login = {server, account->username, given->state, (*network)->now_unix_ms()};
  if (auto put = store.Put(login); !put) return put;
  std::printf("Logged in to %s as %s.\n", host.c_str(), Printable(login.username).c_str());
  if (given->life_s && *given->life_s > 0)
    std::printf("The login ends when it is not used for %s.\n",
                DurationText(*given->life_s * 1000).c_str());
  return {};
}

// One login: the server is asked to end it, and it is forgotten here whatever that says.
Outcome<void> End(const StoredLogin& login, const TokenStore& store, const MountSettings& settings,
                  Network& network) {
  nbia::Credentials account;
  account.username = login.username;
  account.login = KeepLogin(store, login);
  const nbia::NbiaOptions options = OptionsFor(settings, std::move(account));
  const auto ended = network.Await<nbia::LogoutOutcome>([&](Callback<nbia::LogoutOutcome> done) {
    nbia::LogOut(options, network.ports(), {}, std::move(done));
  });
  if (auto forgotten = store.Forget(login); !forgotten) return forgotten;
  const std::string who =
      HostOf(login.server) + ": the login of " + Printable(login.username) + " is forgotten here";
  if (ended && *ended == nbia::LogoutOutcome::kEnded)
    std::printf("%s, and the server has ended it.\n", who.c_str());
  else if (ended)
    std::printf("%s; the server does not end logins when asked, it ends there by itself.\n",
                who.c_str());
  else if (ended.error().code == ExitCode::kCredentials)
    std::printf("%s; it had ended there already.\n", who.c_str());
  else
    std::printf("%s; the server could not be told, it ends there by itself (%s).\n", who.c_str(),
                ended.error().message.c_str());
  return {};
}

Outcome<void> LogOut(const LoginArguments& arguments, const Caller& caller) {
  const auto settings = SettingsFor(arguments, caller);
  if (!settings) return tl::unexpected(settings.error());
  const TokenStore store(caller);
  const auto logins = store.Find(settings->servers.front());
  if (!logins) return tl::unexpected(logins.error());
  auto network = Network::Open(*settings);
  if (!network) return tl::unexpected(network.error());
  bool any = false;
  for (const StoredLogin& login : *logins) {
    if (!arguments.username.empty() && login.username != arguments.username) continue;
    any = true;
    if (auto ended = End(login, store, *settings, **network); !ended) return ended;
  }
  if (!any)
    return FailWith(ExitCode::kFailed, HostOf(settings->servers.front()) +
                                           ": there is no login to end; begin one with: tciafs "
                                           "login " +
                                           settings->servers.front());
  return {};
}

}  // namespace

ExitCode RunLogin(const LoginArguments& arguments, const Caller& caller) {
  LeaveNoTraces();
  const auto done = LogIn(arguments, caller);
  return done ? ExitCode::kDone : Complain(done.error());
}

ExitCode RunLogout(const LoginArguments& arguments, const Caller& caller) {
  LeaveNoTraces();
  const auto done = LogOut(arguments, caller);
  return done ? ExitCode::kDone : Complain(done.error());
}

}  // namespace tciafs::cli
