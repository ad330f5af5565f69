// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "cli/limits.h"
#include "cli/token_store.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

// One server's secret is not another's to see.
tl::unexpected<Failure> ForWhichServer(const std::string& origin) {
  return FailWith(ExitCode::kCredentials,
                  origin +
                      ": there are several servers and it does not say for which it is; mount "
                      "one server, or name it in a --credentials file");
}

std::string WithoutTrailingSlash(std::string_view url) {
  while (url.ends_with('/')) url.remove_suffix(1);
  return std::string(url);
}

// Set to nothing is not set.
const char* NotEmpty(const char* value) {
  return value != nullptr && *value != '\0' ? value : nullptr;
}

struct Account {
  std::optional<std::string> username;
  std::optional<std::string> password;
};

Outcome<Account> ParseCredentials(const std::string& content, const std::string& path,
                                  const std::string& server) {
  Account account;
  bool applies = true;
  int number = 0;
  for (const std::string_view line : SplitText(content, '\n')) {
    ++number;
    const std::string_view text = TrimBlanks(line);
    if (text.empty() || text.front() == '#') continue;
    const auto equals = text.find('=');
    const auto name = TrimBlanks(text.substr(0, equals));
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : TrimBlanks(text.substr(equals + 1));
    if (name == "server")
      applies = WithoutTrailingSlash(value) == server;
    else if (name == "username" && applies)
      account.username = value;
    else if (name == "password" && applies)
      account.password = value;
    else if (name != "username" && name != "password")
      return FailWith(ExitCode::kCredentials,
                      path + ":" + std::to_string(number) +
                          ": neither server, username nor password is set here");
  }
  return account;
}

// The `machine HOST login NAME password WORD` (or `default`) entries of netrc(5); macros are not
// run.
Account ParseNetrc(const std::string& content, const std::string& host) {
  std::vector<std::string_view> words;
  std::string_view rest = content;
  while (!(rest = TrimBlanks(rest)).empty()) {
    const auto end = rest.find_first_of(" \t\r\n");
    words.push_back(rest.substr(0, end));
    rest.remove_prefix(words.back().size());
  }
  Account account;
  bool applies = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool has_value = i + 1 < words.size();
    if (words[i] == "machine" || words[i] == "default") {
      if (applies) break;  // the first entry that fits wins
      applies = words[i] == "default" || (has_value && words[i + 1] == host);
    } else if (applies && words[i] == "login" && has_value) {
      account.username = words[++i];
    } else if (applies && words[i] == "password" && has_value) {
      account.password = words[++i];
    }
  }
  return account;
}

Account FromNetrc(const std::string& server, const Caller& caller) {
  const char* named = NotEmpty(caller.environment("NETRC"));
  const char* home = caller.environment("HOME");
  if (named == nullptr && home == nullptr) return {};
  const auto content = ReadSecretFile(named != nullptr ? named : std::string(home) + "/.netrc");
  if (!content) return {};  // none, or not protected: as other netrc users, go on without
  const std::string host = HostOf(server);
  return ParseNetrc(*content, host.substr(0, host.rfind(':')));
}

// The login made last there.
Outcome<std::optional<nbia::Credentials>> FromLogin(const std::string& server,
                                                    const Caller& caller) {
  const TokenStore store(caller);
  const auto logins = store.Find(server);
  if (!logins) return tl::unexpected(logins.error());
  if (logins->empty()) return std::nullopt;
  nbia::Credentials credentials;
  credentials.username = logins->front().username;
  credentials.login = KeepLogin(store, logins->front());
  return credentials;
}

}  // namespace

Outcome<std::string> ReadSecretFile(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat st {};
  if (!file.valid() || ::fstat(file.get(), &st) != 0)
    return FailWith(ExitCode::kCredentials, path + ": " + SystemErrorText(errno));
  if (!S_ISREG(st.st_mode) || st.st_size > static_cast<off_t>(kSecretFileBytesMax))
    return FailWith(ExitCode::kCredentials, path + ": not a file of credentials");
  if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return FailWith(ExitCode::kCredentials,
                    path + ": others can read it; protect it with: chmod 600 " + path);
  std::string content(static_cast<size_t>(st.st_size), '\0');
  const ssize_t got = ::pread(file.get(), content.data(), content.size(), 0);
  if (got < 0) return FailWith(ExitCode::kCredentials, path + ": " + SystemErrorText(errno));
  content.resize(static_cast<size_t>(got));
  return content;
}

Outcome<nbia::Credentials> FindCredentials(const MountSettings& settings, const std::string& server,
                                           const Caller& caller) {
  Account account;
  if (!settings.credentials_file.empty()) {
    auto content = ReadSecretFile(settings.credentials_file);
    if (!content) return tl::unexpected(content.error());
    auto parsed = ParseCredentials(*content, settings.credentials_file, server);
    if (!parsed) return tl::unexpected(parsed.error());
    account = *parsed;
  } else if (const char* username = NotEmpty(caller.environment("TCIAFS_USERNAME"))) {
    if (settings.servers.size() > 1) return ForWhichServer("TCIAFS_USERNAME");
    account.username = username;
    if (const char* password = NotEmpty(caller.environment("TCIAFS_PASSWORD")))
      account.password = password;
  }
  if (!account.username) {
    auto login = FromLogin(server, caller);
    if (!login) return tl::unexpected(login.error());
    if (*login) return **std::move(login);
    if (settings.credentials_file.empty()) account = FromNetrc(server, caller);
  }
  if (account.username && account.username->size() > kUserNameBytesMax)
    return FailWith(ExitCode::kCredentials, "the user name for " + HostOf(server) +
                                                " has more than " +
                                                std::to_string(kUserNameBytesMax) + " characters");
  nbia::Credentials credentials;  // the guest
  if (account.username) credentials = {*account.username, account.password.value_or(""), nullptr};
  return credentials;
}

Outcome<std::string> FindApiKey(const MountSettings& settings, const Caller& caller) {
  std::string origin = "--api-key-file";
  std::string key;
  if (!settings.api_key_file.empty()) {
    if (settings.servers.size() > 1) return ForWhichServer(origin);
    origin = settings.api_key_file;
    auto content = ReadSecretFile(origin);
    if (!content) return tl::unexpected(content.error());
    key = TrimBlanks(*content);
  } else {
    origin = "TCIAFS_API_KEY";
    const char* value = caller.environment(origin.c_str());
    if (value == nullptr || *value == '\0') return key;
    if (settings.servers.size() > 1) return ForWhichServer(origin);
    key = value;
  }
  if (key.empty() || key.size() > kApiKeyBytesMax || key.find('\n') != std::string::npos)
    return FailWith(ExitCode::kCredentials, origin + ": not one line with a key");
  return key;
}

}  // namespace tciafs::cli
