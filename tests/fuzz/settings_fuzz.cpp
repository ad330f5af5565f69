// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the user writes: configuration files, credentials, netrc, the words after -o, sizes and
// durations. Any text is refused with one line that names where it stands, or read to settings
// within their bounds; no message repeats a secret; sizes and durations never overflow.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "cli/credentials.h"
#include "cli/mount_settings.h"
#include "cli/mountpoint.h"
#include "cli/settings.h"
#include "fuzz/fuzz.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

// A file that only we can read, in memory.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    FUZZ_REQUIRE(fd_.valid() && ::fchmod(fd_.get(), 0600) == 0);
    FUZZ_REQUIRE(::write(fd_.get(), content.data(), content.size()) ==
                 static_cast<ssize_t>(content.size()));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  const UniqueFd fd_;
};

Caller Somebody(std::map<std::string, std::string>& environment) {
  return {1000, 1000, [&environment](const char* name) -> const char* {
            const auto value = environment.find(name);
            return value == environment.end() ? nullptr : value->second.c_str();
          }};
}

void CheckFailure(const Failure& failure) {
  FUZZ_REQUIRE(!failure.message.empty());
  FUZZ_REQUIRE(failure.code == ExitCode::kUsage || failure.code == ExitCode::kCredentials);
}

void CheckBounds(const Settings& settings) {
  std::map<std::string, std::string> environment = {{"HOME", "/home/somebody"}};
  const auto checked = CheckSettings(settings, Somebody(environment));
  if (!checked) return CheckFailure(checked.error());
  FUZZ_REQUIRE(!checked->servers.empty());
  for (const std::string& server : checked->servers) FUZZ_REQUIRE(!HostOf(server).empty());
  FUZZ_REQUIRE(checked->downloads >= 1 && checked->downloads <= 64);
  FUZZ_REQUIRE(checked->connections >= 1 && checked->connections <= 64);
  FUZZ_REQUIRE(checked->io_timeout_ms >= 100);
  FUZZ_REQUIRE(checked->min_free_percent >= 0 && checked->min_free_percent <= 99);
  FUZZ_REQUIRE(checked->umask <= 0777);
  // They are added to times and sizes of today.
  constexpr int64_t kPlenty = int64_t{1} << 61;
  for (const int64_t value : {checked->io_timeout_ms, checked->metadata_ttl_ms,
                              checked->cache_bytes_max, checked->min_free_bytes})
    FUZZ_REQUIRE(value >= 0 && value < kPlenty);
}

void CheckFiles(std::string_view input) {
  const MemoryFile file(input);
  const auto settings = ReadConfigFile(file.path());
  if (settings)
    CheckBounds(*settings);
  else
    CheckFailure(settings.error());

  MountSettings mount;
  mount.servers = {"https://archive.example/nbia-api"};
  mount.credentials_file = file.path();
  std::map<std::string, std::string> environment;
  const auto account = FindCredentials(mount, mount.servers[0], Somebody(environment));
  if (account)
    FUZZ_REQUIRE(account->username.find('\n') == std::string::npos &&
                 account->password.find('\n') == std::string::npos);
  else
    CheckFailure(account.error());
  mount.credentials_file.clear();
  environment["NETRC"] = file.path();
  const auto from_netrc = FindCredentials(mount, mount.servers[0], Somebody(environment));
  if (from_netrc)
    FUZZ_REQUIRE(from_netrc->username.find_first_of(" \t\r\n") == std::string::npos);
  else
    CheckFailure(from_netrc.error());
  mount.api_key_file = file.path();
  const auto key = FindApiKey(mount, Somebody(environment));
  if (key)
    FUZZ_REQUIRE(!key->empty() && key->find('\n') == std::string::npos);
  else
    CheckFailure(key.error());
}

void CheckWords(const std::string& input) {
  std::vector<std::string> arguments;
  for (const auto argument : SplitText(input, '\n')) arguments.emplace_back(argument);
  for (const bool sloppy : {false, true}) {
    const auto words = ParseMountWords(arguments, sloppy);
    if (words)
      CheckBounds(words->settings);
    else
      CheckFailure(words.error());
  }
  std::map<std::string, std::string> environment = {
      {"TCIAFS_SERVER", input}, {"TCIAFS_CACHE_SIZE", input}, {"TCIAFS_IO_TIMEOUT", input}};
  if (const auto settings = ReadEnvironment(Somebody(environment).environment))
    CheckBounds(*settings);
}

void CheckNumbers(const std::string& input) {
  constexpr int64_t kPlenty = int64_t{1} << 61;
  const auto size = ParseSizeBytes(input);
  FUZZ_REQUIRE(!size || (*size >= 0 && *size < kPlenty));
  if (size) FUZZ_REQUIRE(ParseSizeBytes(std::to_string(*size)) == *size || *size > 1LL << 53);
  if (size) FUZZ_REQUIRE(!FormatSize(*size).empty());
  const auto duration = ParseDurationMs(input);
  FUZZ_REQUIRE(!duration || (*duration >= 0 && *duration < kPlenty));
}

void CheckMountTable(const std::string& input) {
  const auto entries = ParseMountTable(input);
  FUZZ_REQUIRE(entries.size() <= input.size() / 10);
}

}  // namespace
}  // namespace tciafs::cli

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(tciafs::fuzz::TextOf(data, size));
  tciafs::cli::CheckFiles(input);
  tciafs::cli::CheckWords(input);
  tciafs::cli::CheckNumbers(input);
  tciafs::cli::CheckMountTable(input);
  return 0;
}
