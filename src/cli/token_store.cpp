// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/token_store.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "cli/credentials.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/log.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

constexpr std::string_view kSuffix = ".login";

tl::unexpected<Failure> SystemFailure(const std::string& path) {
  return FailWith(ExitCode::kFailed, path + ": " + SystemErrorText(errno));
}

// So that what is wrong with the login at one server hinders no other.
std::string PrefixOf(const std::string& server) {
  return fmt::format("{:016x}-", Xxh3(AsBytes(server)));
}

std::string ToText(const StoredLogin& login) {
  return fmt::format("server = {}\nusername = {}\nclient = {}\ntoken = {}\nsince = {}\n",
                     login.server, login.username, login.state.client_id, login.state.refresh_token,
                     login.since_unix_ms);
}

Outcome<StoredLogin> FromText(const std::string& text, const std::string& path) {
  StoredLogin login;
  for (const std::string_view line : SplitText(text, '\n')) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = TrimBlanks(line.substr(0, equals));
    const std::string_view value = TrimBlanks(line.substr(equals + 1));
    if (name == "server") login.server = value;
    if (name == "username") login.username = value;
    if (name == "client") login.state.client_id = value;
    if (name == "token") login.state.refresh_token = value;
    if (name == "since")
      std::from_chars(value.data(), value.data() + value.size(), login.since_unix_ms);
  }
  if (login.server.empty() || login.username.empty() || login.state.refresh_token.empty())
    return FailWith(ExitCode::kCredentials, path + ": damaged; remove it and log in again");
  return login;
}

// nullopt: there is none.
Outcome<std::optional<StoredLogin>> ReadLogin(const std::string& path) {
  const auto text = ReadSecretFile(path);
  if (!text) {
    struct stat st {};
    if (::stat(path.c_str(), &st) != 0 && errno == ENOENT) return std::nullopt;
    return tl::unexpected(text.error());
  }
  auto login = FromText(*text, path);
  if (!login) return tl::unexpected(login.error());
  return std::optional(*std::move(login));
}

// A whole new file in the place of the old one.
Outcome<void> Replace(const std::string& path, const std::string& content) {
  std::string name = path + ".XXXXXX";
  const UniqueFd file(::mkostemp(name.data(), O_CLOEXEC));  // readable by us alone
  if (!file.valid()) return SystemFailure(path);
  const bool written =
      ::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
      ::fsync(file.get()) == 0 && ::rename(name.c_str(), path.c_str()) == 0;
  if (written) return {};
  const auto failure = SystemFailure(path);
  ::unlink(name.c_str());
  return failure;
}

std::string ChooseDirectory(const Caller& caller) {
  const char* xdg = caller.environment("XDG_STATE_HOME");
  if (xdg != nullptr && *xdg == '/') return std::string(xdg) + "/tciafs/logins";
  if (caller.uid == 0) return "/var/lib/tciafs/logins";
  const char* home = caller.environment("HOME");
  if (home == nullptr || *home != '/') return "";
  return std::string(home) + "/.local/state/tciafs/logins";
}

class KeptLogin final : public nbia::Login {
 public:
  KeptLogin(const TokenStore& store, StoredLogin login) : store_(store), login_(std::move(login)) {}

  State Load() override {
    const auto stored = Stored();
    if (!stored) return {};
    MutexLock lock(mutex_);
    return unstored_ && stored->refresh_token == instead_of_ ? *unstored_ : *stored;
  }

  // What was forgotten meanwhile stays so.
  void Save(const State&, const State& renewed) override {
    const auto before = Stored();
    if (!before) return;
    StoredLogin login = login_;
    login.state = renewed;
    const auto put = store_.Put(login);
    MutexLock lock(mutex_);
    unstored_.reset();
    if (put) return;
    LogWarning("a login could not be stored, and is good for this mount alone: {}",
               put.error().message);
    unstored_ = renewed;
    instead_of_ = before->refresh_token;
  }

 private:
  std::optional<State> Stored() const {
    const auto found = store_.Find(login_);
    if (!found || !*found) return std::nullopt;
    return (*found)->state;
  }

  const TokenStore store_;
  const StoredLogin login_;
  Mutex mutex_;
  std::optional<State> unstored_ TCIAFS_GUARDED_BY(mutex_);
  std::string instead_of_ TCIAFS_GUARDED_BY(mutex_);  // what is stored
};

}  // namespace

TokenStore::TokenStore(const Caller& caller) : directory_(ChooseDirectory(caller)) {}

std::string TokenStore::PathOf(const StoredLogin& login) const {
  return fmt::format("{}/{}{:016x}{}", directory_, PrefixOf(login.server),
                     Xxh3(AsBytes(login.username)), kSuffix);
}

Outcome<std::vector<StoredLogin>> TokenStore::Find(const std::string& server) const {
  std::vector<StoredLogin> logins;
  if (directory_.empty()) return logins;
  std::error_code failed;
  for (const auto& file : std::filesystem::directory_iterator(directory_, failed)) {
    const std::string name = file.path().filename();
    if (!name.starts_with(PrefixOf(server)) || !name.ends_with(kSuffix)) continue;
    auto login = ReadLogin(file.path());
    if (!login) return tl::unexpected(login.error());
    if (*login && (*login)->server == server) logins.push_back(**std::move(login));
  }
  std::sort(logins.begin(), logins.end(), [](const StoredLogin& a, const StoredLogin& b) {
    return a.since_unix_ms > b.since_unix_ms;
  });
  return logins;
}

// Its file alone is looked at: who walks a directory may miss what is replaced meanwhile.
Outcome<std::optional<StoredLogin>> TokenStore::Find(const StoredLogin& login) const {
  return ReadLogin(PathOf(login));
}

Outcome<void> TokenStore::Put(const StoredLogin& login) const {
  if (directory_.empty())
    return FailWith(ExitCode::kFailed, "no place for the login: HOME is not set");
  std::error_code failed;
  const std::filesystem::path parent = std::filesystem::path(directory_).parent_path();
  std::filesystem::create_directories(parent, failed);
  if (failed) return FailWith(ExitCode::kFailed, parent.string() + ": " + failed.message());
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return SystemFailure(directory_);
  return Replace(PathOf(login), ToText(login));
}

Outcome<void> TokenStore::Forget(const StoredLogin& login) const {
  const std::string path = PathOf(login);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return SystemFailure(path);
  return {};
}

std::shared_ptr<nbia::Login> KeepLogin(const TokenStore& store, const StoredLogin& login) {
  return std::make_shared<KeptLogin>(store, login);
}

}  // namespace tciafs::cli
