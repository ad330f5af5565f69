// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/settings.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>

#include "cli/limits.h"
#include "cli/option_table.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

// For mount(8), fstab(5) and systemd, or always so here (ro, nosuid, nodev, noexec,
// default_permissions).
constexpr std::array kIgnoredWords = {"rw",          "ro",
                                      "defaults",    "auto",
                                      "noauto",      "user",
                                      "nouser",      "users",
                                      "owner",       "group",
                                      "nogroup",     "nofail",
                                      "_netdev",     "nosuid",
                                      "nodev",       "noexec",
                                      "suid",        "dev",
                                      "exec",        "silent",
                                      "loud",        "async",
                                      "sync",        "dirsync",
                                      "mand",        "nomand",
                                      "iversion",    "noiversion",
                                      "relatime",    "norelatime",
                                      "strictatime", "nostrictatime",
                                      "lazytime",    "nolazytime",
                                      "diratime",    "nodiratime",
                                      "symfollow",   "nosymfollow",
                                      "uhelper",     "comment",
                                      "subtype",     "default_permissions"};
// Those libfuse knows; of the times of access only these two.
constexpr std::array kKernelWords = {"noatime", "atime", "auto_unmount"};
constexpr std::array kKernelWordsWithValue = {"context", "fscontext", "defcontext", "rootcontext",
                                              "max_read"};

template <typename Words>
bool Contains(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool MeansOn(std::string_view text) {
  return text.empty() || text == "1" || text == "true" || text == "yes" || text == "on";
}
bool MeansOff(std::string_view text) {
  return text == "0" || text == "false" || text == "no" || text == "off";
}

// Checks the shape of one `name = value` wherever it came from, and adds it.
Outcome<void> AddChecked(Settings& settings, const OptionSpec& option, std::string_view text,
                         const std::string& origin) {
  const bool flag = *option.value == '\0';
  if (flag && !MeansOn(text) && !MeansOff(text))
    return FailWith(ExitCode::kUsage,
                    origin + ": '" + std::string(text) + "' is neither yes nor no");
  if (!flag && text.empty())
    return FailWith(ExitCode::kUsage, origin + ": needs a value (" + option.value + ")");
  settings.Add(option.name, {flag ? FlagText(!MeansOff(text)) : std::string(text), origin});
  return {};
}

// Splits at commas; `\,` is a comma that belongs to a value.
std::vector<std::string> SplitWords(const std::string& argument) {
  std::vector<std::string> words(1);
  for (size_t i = 0; i < argument.size(); ++i) {
    if (argument[i] == '\\' && i + 1 < argument.size())
      words.back() += argument[++i];
    else if (argument[i] == ',')
      words.emplace_back();
    else
      words.back() += argument[i];
  }
  return words;
}

Outcome<void> TakeWord(MountWords& result, const std::string& word, bool sloppy) {
  const auto equals = word.find('=');
  const std::string name = word.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  std::string ours = name;
  std::replace(ours.begin(), ours.end(), '_', '-');
  if (const OptionSpec* option = FindMountOption(ours))
    return AddChecked(result.settings, *option, value, "-o " + name);
  if (name == "nonempty")
    result.nonempty = true;
  else if (name == "fsname")
    result.fsname = value;
  else if (Contains(kKernelWords, word) || Contains(kKernelWordsWithValue, name))
    result.kernel_options.push_back(word);
  else if (!Contains(kIgnoredWords, name) && !name.starts_with("x-") && !name.starts_with("X-") &&
           !sloppy)
    return FailWith(ExitCode::kUsage, "unknown mount option '" + name + "'");
  return {};
}

// "" where there is no such file.
Outcome<std::string> ReadConfigText(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  std::string content;
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return content;
    return FailWith(ExitCode::kUsage, path + ": " + SystemErrorText(errno));
  }
  std::array<char, 4096> piece{};
  while (content.size() <= kConfigFileBytesMax &&
         (file.read(piece.data(), piece.size()), file.gcount() > 0))
    content.append(piece.data(), static_cast<size_t>(file.gcount()));
  if (content.size() > kConfigFileBytesMax)
    return FailWith(ExitCode::kUsage, path + ": too large to be a configuration file");
  return content;
}

// `name = value`
Outcome<void> TakeConfigLine(Settings& settings, std::string_view line, const std::string& origin) {
  const auto equals = line.find('=');
  const std::string name(TrimBlanks(line.substr(0, equals)));
  const auto value =
      equals == std::string_view::npos ? std::string_view() : TrimBlanks(line.substr(equals + 1));
  const OptionSpec* option = FindMountOption(name);
  if (option == nullptr)
    return FailWith(ExitCode::kUsage, origin + ": unknown setting '" + name + "'");
  return AddChecked(settings, *option, value, origin);
}

}  // namespace

void Settings::Underlay(const Settings& lower) {
  for (const auto& [name, values] : lower.values_) values_.emplace(name, values);
}

const std::vector<SettingValue>* Settings::Find(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<SettingValue> Settings::Last(const std::string& name) const {
  const auto* values = Find(name);
  return values == nullptr ? std::nullopt : std::optional(values->back());
}

Settings ReadConfigLines(const std::string& path, std::vector<Failure>& problems) {
  Settings settings;
  const auto content = ReadConfigText(path);
  if (!content) {
    problems.push_back(content.error());
    return settings;
  }
  int number = 0;
  for (const std::string_view line : SplitText(*content, '\n')) {
    ++number;
    const std::string_view text = TrimBlanks(line);
    if (text.empty() || text.front() == '#') continue;
    const std::string origin = path + ":" + std::to_string(number);
    if (auto taken = TakeConfigLine(settings, text, origin); !taken)
      problems.push_back(taken.error());
  }
  return settings;
}

Outcome<Settings> ReadConfigFile(const std::string& path) {
  std::vector<Failure> problems;
  Settings settings = ReadConfigLines(path, problems);
  if (!problems.empty()) return tl::unexpected(problems.front());
  return settings;
}

Outcome<Settings> ReadEnvironment(const Environment& environment) {
  Settings settings;
  for (const OptionSpec& option : MountOptionTable()) {
    const std::string name = EnvironmentName(option);
    const char* value = environment(name.c_str());
    if (value == nullptr || *value == '\0') continue;
    const auto parts =
        option.repeatable ? SplitText(value, ' ') : std::vector<std::string_view>{value};
    for (const std::string_view part : parts) {
      if (part.empty()) continue;
      if (auto added = AddChecked(settings, option, part, name); !added)
        return tl::unexpected(added.error());
    }
  }
  return settings;
}

Outcome<MountWords> ParseMountWords(const std::vector<std::string>& arguments, bool sloppy) {
  MountWords result;
  for (const std::string& argument : arguments)
    for (const std::string& word : SplitWords(argument))
      if (!word.empty())
        if (auto taken = TakeWord(result, word, sloppy); !taken)
          return tl::unexpected(taken.error());
  return result;
}

}  // namespace tciafs::cli
