// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/mount_settings.h"

#include <fmt/core.h>

#include <charconv>
#include <filesystem>
#include <limits>
#include <optional>

#include "cli/limits.h"
#include "cli/mountpoint.h"
#include "cli/program_guard.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

// One failed check ends all: the first is kept, later ones do nothing.
class Checker {
 public:
  explicit Checker(const Settings& settings) : settings_(settings) {}
  const std::optional<Failure>& failure() const { return failure_; }

  bool Flag(const char* name) const { return Text(name) == FlagText(true); }

  std::string Text(const char* name, std::string default_text = "") const {
    const auto value = settings_.Last(name);
    return value ? value->text : std::move(default_text);
  }

  template <typename T, typename Parse>
  T Parsed(const char* name, T default_value, Parse parse) {
    const auto value = settings_.Last(name);
    if (!value) return default_value;
    Result<T> parsed = parse(value->text);
    if (parsed) return *parsed;
    Refuse(value->origin + ": " + parsed.error().message);
    return default_value;
  }

  int64_t Number(const char* name, int64_t default_value, int64_t min, int64_t max, int base = 10) {
    return Parsed<int64_t>(name, default_value, [=](const std::string& text) -> Result<int64_t> {
      int64_t number = 0;
      const auto [end, error] =
          std::from_chars(text.data(), text.data() + text.size(), number, base);
      if (error != std::errc() || end != text.data() + text.size() || number < min || number > max)
        return Fail(
            Errc::kInvalidArgument,
            base == 8 ? fmt::format("'{}' is not an octal number from {:o} to {:o}", text, min, max)
                      : fmt::format("'{}' is not a number from {} to {}", text, min, max));
      return number;
    });
  }

  template <typename T>
  T Choice(const char* name, T default_value,
           std::initializer_list<std::pair<std::string_view, T>> choices) {
    return Parsed<T>(name, default_value, [&](const std::string& text) -> Result<T> {
      std::string known;
      for (const auto& [word, value] : choices) {
        if (text == word) return value;
        known += (known.empty() ? "" : ", ") + std::string(word);
      }
      return Fail(Errc::kInvalidArgument, "'" + text + "' is none of " + known);
    });
  }

  void Refuse(std::string message) {
    if (!failure_) failure_ = Failure{ExitCode::kUsage, std::move(message)};
  }

 private:
  const Settings& settings_;
  std::optional<Failure> failure_;
};

std::string EnvironmentText(const Caller& caller, const char* name) {
  const char* value = caller.environment(name);
  return value == nullptr ? "" : value;
}

std::string DefaultCacheDirectory(const Caller& caller) {
  if (caller.uid == 0) return "/var/cache/tciafs";
  const std::string xdg = EnvironmentText(caller, "XDG_CACHE_HOME");
  if (xdg.starts_with('/')) return xdg + "/tciafs";
  const std::string home = EnvironmentText(caller, "HOME");
  return home.empty() ? "" : home + "/.cache/tciafs";
}

// The daemon changes its directory, so paths are made absolute while the user's is still known.
std::string Absolute(const std::string& path) {
  if (path.empty()) return path;
  std::error_code ignored;
  return std::filesystem::absolute(path, ignored).lexically_normal().string();
}

std::vector<std::string> Servers(const Settings& settings, Checker& checker) {
  const auto* values = settings.Find("server");
  if (values == nullptr) return {kMainServer, kNlstServer};
  std::vector<std::string> servers;
  for (const SettingValue& value : *values) {
    std::string url = value.text;
    while (url.ends_with('/')) url.pop_back();
    if (url.size() > kServerUrlBytesMax)
      checker.Refuse(value.origin + ": the root of an archive has at most " +
                     std::to_string(kServerUrlBytesMax) + " characters");
    // What stands before an @ may be a secret, and is not repeated.
    if (HostOf(url).empty() && url.find('@') != std::string::npos)
      checker.Refuse(value.origin +
                     ": not an archive root such as https://host/nbia-api; user name and password "
                     "do not belong there (see CREDENTIALS in man tciafs)");
    if (HostOf(url).empty())
      checker.Refuse(value.origin + ": '" + value.text +
                     "' is not an archive root such as https://host/nbia-api");
    for (const std::string& earlier : servers)
      if (earlier == url) checker.Refuse(value.origin + ": '" + value.text + "' is given twice");
    servers.push_back(std::move(url));
    if (servers.size() > kServersMax) {
      checker.Refuse(value.origin + ": more than " + std::to_string(kServersMax) + " servers");
      break;
    }
  }
  return servers;
}

void MinFree(Checker& checker, MountSettings& settings) {
  const std::string text = checker.Text("min-free", "5%");
  if (text.ends_with('%')) {
    settings.min_free_percent = static_cast<int>(
        checker.Parsed<int64_t>("min-free", 5, [](const std::string& percent) -> Result<int64_t> {
          int value = -1;
          const char* end = percent.data() + percent.size() - 1;
          const auto parsed = std::from_chars(percent.data(), end, value);
          if (parsed.ec != std::errc() || parsed.ptr != end || value < 0 || value > 99)
            return Fail(Errc::kInvalidArgument,
                        "'" + percent + "' is not a percentage from 0% to 99%");
          return int64_t{value};
        }));
    return;
  }
  settings.min_free_percent = 0;
  settings.min_free_bytes = checker.Parsed<int64_t>("min-free", 0, ParseSizeBytes);
}

}  // namespace

std::string HostOf(const std::string& url) {
  std::string_view rest = url;
  if (rest.starts_with("https://"))
    rest.remove_prefix(8);
  else if (rest.starts_with("http://"))
    rest.remove_prefix(7);
  else
    return "";
  const std::string_view host = rest.substr(0, rest.find_first_of("/?#"));
  const bool odd = host.find_first_of("@ \t\\") != std::string_view::npos ||
                   host.starts_with(':') || rest.find_first_of("?# ") != std::string_view::npos;
  return odd ? "" : std::string(host);
}

std::vector<std::string> ConfigFilePaths(const Caller& caller) {
  std::vector<std::string> paths;
  const std::string xdg = EnvironmentText(caller, "XDG_CONFIG_HOME");
  const std::string home = EnvironmentText(caller, "HOME");
  if (xdg.starts_with('/'))
    paths.push_back(xdg + "/tciafs/config");
  else if (!home.empty())
    paths.push_back(home + "/.config/tciafs/config");
  paths.emplace_back("/etc/tciafs.conf");
  return paths;
}

Outcome<MountSettings> CheckSettings(const Settings& settings, const Caller& caller) {
  Checker checker(settings);
  MountSettings result;
  constexpr int64_t kIdMax = std::numeric_limits<uint32_t>::max();

  result.servers = Servers(settings, checker);
  result.api = checker.Choice<nbia::ApiFamily>("api", nbia::ApiFamily::kAuto,
                                               {{"auto", nbia::ApiFamily::kAuto},
                                                {"v4", nbia::ApiFamily::kV4},
                                                {"v2", nbia::ApiFamily::kV2},
                                                {"v1", nbia::ApiFamily::kV1}});
  result.credentials_file = Absolute(checker.Text("credentials"));
  result.api_key_file = Absolute(checker.Text("api-key-file"));
  result.cache_dir = Absolute(checker.Text("cache-dir", DefaultCacheDirectory(caller)));
  result.cache_dir_given = settings.Find("cache-dir") != nullptr;
  if (result.cache_dir.empty())
    checker.Refuse("no place for the cache: HOME is not set; give --cache-dir");
  result.cache_bytes_max = checker.Parsed<int64_t>("cache-size", 0, ParseSizeBytes);
  MinFree(checker, result);
  result.metadata_ttl_ms = checker.Parsed<int64_t>("metadata-ttl", 6 * 3600'000, ParseDurationMs);
  result.offline = checker.Flag("offline");
  result.unknown_size =
      checker.Choice<vfs::UnknownSize>("unknown-size", vfs::UnknownSize::kEstimate,
                                       {{"estimate", vfs::UnknownSize::kEstimate},
                                        {"fetch", vfs::UnknownSize::kFetch},
                                        {"zero", vfs::UnknownSize::kZero}});
  result.ask_open = checker.Choice<fuse::AskOpen>("ask-open", fuse::AskOpen::kFiles,
                                                  {{"all", fuse::AskOpen::kAll},
                                                   {"files", fuse::AskOpen::kFiles},
                                                   {"none", fuse::AskOpen::kNone}});
  result.passthrough = checker.Choice<bool>("passthrough", true, {{"auto", true}, {"off", false}});
  result.programs_kept_out =
      checker.Parsed<std::vector<std::string>>("no-fetch-for", ProgramsKeptOut(), ParsePrograms);
  result.downloads = static_cast<int>(checker.Number("downloads", 2, 1, 64));
  result.connections = static_cast<int>(checker.Number("connections", 8, 1, 64));
  result.io_timeout_ms = checker.Parsed<int64_t>("io-timeout", 60'000, ParseDurationMs);
  if (result.io_timeout_ms < 100)
    checker.Refuse("--io-timeout: less than 100ms leaves no time for an answer");
  result.proxy = checker.Text("proxy");
  result.ca_file = Absolute(checker.Text("cacert"));
  result.allow_other = checker.Flag("allow-other");
  result.uid = static_cast<uint32_t>(checker.Number("uid", caller.uid, 0, kIdMax));
  result.gid = static_cast<uint32_t>(checker.Number("gid", caller.gid, 0, kIdMax));
  result.umask = static_cast<uint32_t>(checker.Number("umask", 022, 0, 0777, 8));
  result.foreground = checker.Flag("foreground");
  result.log_level = checker.Parsed<LogLevel>("log-level", LogLevel::kInfo, ParseLogLevel);
  result.log_file = Absolute(checker.Text("log-file"));
  if (checker.failure()) return tl::unexpected(*checker.failure());
  return result;
}

Outcome<MountSettings> GatherSettings(Settings given, const std::vector<std::string>& words,
                                      bool sloppy, const Caller& caller) {
  auto parsed_words = ParseMountWords(words, sloppy);
  if (!parsed_words) return tl::unexpected(parsed_words.error());
  given.Underlay(parsed_words->settings);
  auto environment = ReadEnvironment(caller.environment);
  if (!environment) return tl::unexpected(environment.error());
  given.Underlay(*environment);
  for (const std::string& path : ConfigFilePaths(caller)) {
    auto file = ReadConfigFile(path);
    if (!file) return tl::unexpected(file.error());
    given.Underlay(*file);
  }
  auto checked = CheckSettings(given, caller);
  if (!checked) return checked;
  checked->kernel_options = parsed_words->kernel_options;
  checked->nonempty = parsed_words->nonempty;
  checked->fsname = parsed_words->fsname;
  return checked;
}

Outcome<void> CheckPlaces(const MountSettings& settings) {
  const std::string& mountpoint = settings.mountpoint;
  if (mountpoint.empty() || HandedOverDevice(mountpoint)) return {};
  const auto refuse = [&mountpoint](const std::string& what, const char* option) {
    return FailWith(ExitCode::kUsage, what + " lies in the mountpoint " + mountpoint +
                                          "; choose another with " + option);
  };
  if (IsInside(settings.cache_dir, mountpoint))
    return refuse("cache " + settings.cache_dir, "--cache-dir");
  if (!settings.log_file.empty() && IsInside(settings.log_file, mountpoint))
    return refuse("log file " + settings.log_file, "--log-file");
  return {};
}

}  // namespace tciafs::cli
