// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/apparmor.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

constexpr size_t kAlternatives = 256;  // of one glob; more of them are not looked at

std::string TextOf(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kVariables = {{
    {"@{HOME}", "{/home/*,/root}"},
    {"@{HOMEDIRS}", "/home"},
    {"@{run}", "{/run,/var/run}"},
    {"@{uid}", "[0-9]*"},
    {"@{sys}", "/sys"},
}};

std::string WithoutVariables(std::string glob) {
  for (const auto& [name, value] : kVariables)
    for (size_t at = glob.find(name); at != std::string::npos; at = glob.find(name))
      glob.replace(at, name.size(), value);
  for (size_t at = glob.find("@{"); at != std::string::npos; at = glob.find("@{")) {
    const size_t end = glob.find('}', at);
    if (end == std::string::npos) return glob;
    glob.replace(at, end + 1 - at, "**");
  }
  for (size_t at = glob.find("//"); at != std::string::npos; at = glob.find("//"))
    glob.erase(at, 1);
  return glob;
}

// Each of the texts that the first {a,b} may stand for, then those of the rest.
void Spread(const std::string& glob, std::vector<std::string>& spread) {
  if (spread.size() >= kAlternatives) return;
  const size_t open = glob.find('{');
  if (open == std::string::npos) return spread.push_back(glob);
  size_t begin = open + 1;
  int depth = 0;
  std::vector<std::string> parts;
  for (size_t at = open; at < glob.size(); ++at) {
    if (glob[at] == '{') ++depth;
    const bool ends = glob[at] == '}' && --depth == 0;
    if (!ends && !(glob[at] == ',' && depth == 1)) continue;
    parts.push_back(glob.substr(begin, at - begin));
    begin = at + 1;
    if (!ends) continue;
    for (const std::string& part : parts)
      Spread(glob.substr(0, open) + part + glob.substr(at + 1), spread);
    return;
  }
  spread.push_back(glob);  // never closed
}

// "[0-9]", "[^a]": whether it holds c; `size` is that of the class.
bool ClassHolds(std::string_view glob, char c, size_t& size) {
  const size_t end = glob.find(']', 2);
  size = end == std::string_view::npos ? 1 : end + 1;
  std::string_view inside = glob.substr(1, size >= 2 ? size - 2 : 0);
  const bool inverted = inside.starts_with('^');
  if (inverted) inside.remove_prefix(1);
  bool holds = false;
  for (size_t i = 0; i < inside.size(); ++i) {
    if (i + 2 < inside.size() && inside[i + 1] == '-') {
      holds = holds || (inside[i] <= c && c <= inside[i + 2]);
      i += 2;
    } else {
      holds = holds || inside[i] == c;
    }
  }
  return holds != inverted && c != '/';
}

bool MatchesPlain(std::string_view glob, std::string_view path) {
  if (glob.empty()) return path.empty();
  if (glob.starts_with('*')) {
    const bool deep = glob.starts_with("**");
    const std::string_view rest = glob.substr(deep ? 2 : 1);
    for (size_t taken = 0; taken <= path.size(); ++taken) {
      if (MatchesPlain(rest, path.substr(taken))) return true;
      if (taken < path.size() && !deep && path[taken] == '/') return false;
    }
    return false;
  }
  if (path.empty()) return false;
  size_t size = 1;
  bool fits = glob.front() == path.front();
  if (glob.front() == '?') fits = path.front() != '/';
  if (glob.front() == '[') fits = ClassHolds(glob, path.front(), size);
  return fits && MatchesPlain(glob.substr(size), path.substr(1));
}

bool ForOurType(std::string_view rule) {
  if (rule.find("fstype") == std::string_view::npos) return true;
  return rule.find("fuse_types") != std::string_view::npos ||
         rule.find("fuse.tciafs") != std::string_view::npos ||
         rule.find("fuse.*") != std::string_view::npos;
}

// "mount ... -> GLOB,"
void AddMountRules(const std::string& content, std::vector<std::string>& globs) {
  for (std::string_view line : SplitText(content, '\n')) {
    line = TrimBlanks(line);
    const size_t arrow = line.find("->");
    if (!line.starts_with("mount ") || arrow == std::string_view::npos || !ForOurType(line))
      continue;
    std::string glob(TrimBlanks(line.substr(arrow + 2)));
    if (glob.ends_with(',')) glob.pop_back();
    std::erase(glob, '"');
    globs.push_back(std::move(glob));
  }
}

// What the kernel says where it tells, else what the profile says of itself.
bool IsEnforced(const std::string& root, const std::string& profile) {
  const std::string loaded = TextOf(root + "/sys/kernel/security/apparmor/profiles");
  for (const std::string_view line : SplitText(loaded, '\n'))
    if (line.starts_with("fusermount3 (")) return line.starts_with("fusermount3 (enforce)");
  if (!loaded.empty()) return false;
  std::error_code failed;
  const auto disabled =
      std::filesystem::symlink_status(root + "/etc/apparmor.d/disable/fusermount3", failed);
  if (std::filesystem::exists(disabled)) return false;
  const size_t begin = profile.find("flags=(");
  if (begin == std::string::npos) return true;
  const std::string flags = profile.substr(begin, profile.find(')', begin) - begin);
  return flags.find("complain") == std::string::npos &&
         flags.find("unconfined") == std::string::npos;
}

}  // namespace

std::optional<FusermountProfile> ReadFusermountProfile(const std::string& root) {
  if (!TextOf(root + "/sys/module/apparmor/parameters/enabled").starts_with('Y'))
    return std::nullopt;
  const std::string content = TextOf(root + "/etc/apparmor.d/fusermount3");
  if (content.empty() || !IsEnforced(root, content)) return std::nullopt;
  FusermountProfile profile;
  AddMountRules(content, profile.mountpoints);
  AddMountRules(TextOf(root + "/etc/apparmor.d/local/fusermount3"), profile.mountpoints);
  return profile;
}

bool MatchesAppArmorGlob(std::string_view glob, std::string_view path) {
  std::vector<std::string> spread;
  Spread(WithoutVariables(std::string(glob)), spread);
  return std::any_of(spread.begin(), spread.end(),
                     [path](const std::string& plain) { return MatchesPlain(plain, path); });
}

}  // namespace tciafs::cli
