// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/cache_command.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

#include "cli/cache_access.h"
#include "cli/daemon_link.h"
#include "cli/status_view.h"
#include "cli/terminal.h"
#include "tciafs/util/text.h"
#include "vfs/json_writer.h"

namespace tciafs::cli {
namespace {

using control::Message;

// What a command is about: a cache, and in it what the request says.
struct Target {
  CacheAccess access;
  Message request;
};

// A path in a mount names the mount's cache.
Outcome<CacheAccess> OpenThroughMount(const MountEntry& mount, const Caller& caller) {
  if (auto connected = ConnectTo(mount, caller); !connected)
    return tl::unexpected(connected.error());
  auto record = FindRecord(mount.mountpoint, mount.owner_uid, caller);
  if (!record) return FailWith(ExitCode::kFailed, mount.mountpoint + ": has ended meanwhile");
  return CacheAccess::Through(*std::move(record));
}

Outcome<Target> FindTarget(const std::string& kind, const CacheArguments& arguments,
                           const Caller& caller) {
  Message request(kind);
  std::optional<MountEntry> mount;
  for (const std::string& what : arguments.what) {
    if (what == "all") continue;
    if (IsUid(what)) {
      request.Add("series", what);
      continue;
    }
    auto found = FindMountedPath(what);
    if (!found && !what.starts_with('/'))
      return FailWith(ExitCode::kFailed,
                      what + ": neither a path in a mounted tciafs nor the UID of a series");
    if (found && mount && mount->mountpoint != found->mount.mountpoint)
      return FailWith(ExitCode::kUsage, what + ": in another mount than the paths before it");
    request.Add("path", found ? found->inside : what);
    if (found) mount = std::move(found->mount);
  }
  auto access = mount && arguments.cache_dir.empty()
                    ? OpenThroughMount(*mount, caller)
                    : CacheAccess::Open(arguments.cache_dir, caller, CacheAccess::Purpose::kUpkeep);
  if (!access) return tl::unexpected(access.error());
  return Target{*std::move(access), std::move(request)};
}

ExitCode End(const Outcome<void>& asked) {
  if (asked) return ExitCode::kDone;
  return asked.error().code == ExitCode::kInterrupted ? ExitCode::kInterrupted
                                                      : Complain(asked.error());
}

// ---- info

int64_t FileBytes(const std::string& path) {
  std::error_code failed;
  const auto bytes = std::filesystem::file_size(path, failed);
  return failed ? 0 : static_cast<int64_t>(bytes);
}

void PrintInfoJson(const CacheAccess& access, int format, const Message& cache) {
  vfs::JsonWriter json;
  json.BeginObject();
  json.Member("directory", access.directory());
  json.Member("format", format);
  for (const char* figure : {"used_bytes", "reserved_bytes", "cap_bytes", "free_floor_bytes",
                             "disk_free_bytes", "series", "series_pinned", "instances"})
    json.Member(figure, cache.Number(figure, 0));
  json.Member("degraded", cache.Number("degraded") == 1);
  json.Member("catalog_bytes", FileBytes(access.directory() + "/catalog/data.mdb"));
  if (access.mount()) {
    json.Member("pid", access.mount()->pid);
    json.Member("mountpoint", access.mount()->mountpoint);
  } else {
    json.NullMember("pid");
    json.NullMember("mountpoint");
  }
  json.EndObject();
  std::fputs(json.Take().c_str(), stdout);
}

void PrintInfo(const CacheAccess& access, int format, const Message& cache) {
  const auto line = [](const char* name, const std::string& text) {
    std::printf("%-10s %s\n", name, text.c_str());
  };
  const auto size = [&cache](const char* figure) { return FormatSize(cache.Number(figure, 0)); };
  const auto count = [&cache](const char* figure) { return CountText(cache.Number(figure, 0)); };
  line("directory", Printable(access.directory()));
  line("format", std::to_string(format));
  line("used", size("used_bytes") + " of " + size("cap_bytes"));
  if (cache.Number("reserved_bytes", 0) > 0)
    line("promised", size("reserved_bytes") + " to downloads under way");
  line("disk",
       size("disk_free_bytes") + " free, of which " + size("free_floor_bytes") + " stay free");
  line("series", count("series") + " (" + count("series_pinned") + " pinned)");
  line("images", count("instances"));
  line("listings", FormatSize(FileBytes(access.directory() + "/catalog/data.mdb")));
  if (access.mount())
    line("in use by", fmt::format("process {}, mounted on {}", access.mount()->pid,
                                  Printable(access.mount()->mountpoint)));
  else
    line("in use by", "nobody");
  if (cache.Number("degraded") == 1)
    line("state", "the disk fails: what is fetched now is kept in memory only");
}

// ---- list

void PrintListJson(const std::vector<Message>& all) {
  vfs::JsonWriter json;
  json.BeginArray();
  for (const Message& series : all) {
    json.BeginObject();
    if (series.Text("path").empty())
      json.NullMember("path");
    else
      json.Member("path", series.Text("path"));
    json.Member("server", series.Text("scope").substr(0, series.Text("scope").rfind('|')));
    json.Member("series", series.Text("series"));
    json.Member("size_bytes", series.Number("size_bytes", 0));
    json.Member("images", series.Number("instances", 0));
    if (series.Has("expected_instances"))
      json.Member("images_expected", series.Number("expected_instances"));
    else
      json.NullMember("images_expected");
    json.Member("verified", series.Number("verified") == 1);
    json.Member("pinned", series.Number("pinned") == 1);
    json.Member("last_use_s", series.Number("last_use_unix_ms", 0) / 1000);
    json.EndObject();
  }
  json.EndArray();
  std::fputs(json.Take().c_str(), stdout);
}

void PrintList(const std::vector<Message>& all) {
  constexpr const char* kColumns = "{:>10}  {:>7}  {:<8}  {:<6}  {:<19}  {}\n";
  std::fputs(
      fmt::format(kColumns, "SIZE", "IMAGES", "VERIFIED", "PINNED", "LAST USE", "SERIES").c_str(),
      stdout);
  for (const Message& series : all) {
    const int64_t last_use_ms = series.Number("last_use_unix_ms", 0);
    std::string name = series.Text("path");
    if (name.empty()) name = series.Text("scope") + " " + series.Text("series");
    std::fputs(fmt::format(kColumns, FormatSize(series.Number("size_bytes", 0)),
                           CountText(series.Number("instances", 0)),
                           series.Number("verified") == 1 ? "yes" : "no",
                           series.Number("pinned") == 1 ? "yes" : "no",
                           last_use_ms > 0 ? ClockText(last_use_ms) : "never", Printable(name))
                   .c_str(),
               stdout);
  }
}

// ---- evict and clear

void PrintEvicting(const Message& answer, int64_t& failed) {
  const std::string name = Printable(answer.Text("path"));
  if (answer.kind() == "evicted") {
    std::printf("%s: %s\n", name.c_str(), FormatSize(answer.Number("size_bytes", 0)).c_str());
  } else if (answer.kind() == "kept") {
    if (answer.Text("why") == "failed") ++failed;
    std::printf("%s: kept, %s\n", name.c_str(), Printable(answer.Text("reason")).c_str());
  } else if (answer.kind() == "freed") {
    std::printf("freed %s in %s series\n", FormatSize(answer.Number("size_bytes", 0)).c_str(),
                CountText(answer.Number("series", 0)).c_str());
  }
}

ExitCode Evict(const Target& target) {
  int64_t failed = 0;
  const auto asked = target.access.Ask(
      target.request, [&failed](const Message& answer) { PrintEvicting(answer, failed); });
  if (!asked) return End(asked);
  if (failed == 0) return ExitCode::kDone;
  return Complain({ExitCode::kFailed, CountText(failed) + " series could not be evicted"});
}

Outcome<void> AddLimits(const CacheArguments& arguments, Message& request) {
  if (arguments.pinned) request.Add("pinned", 1);
  if (!arguments.older_than.empty()) {
    const auto age_ms = ParseDurationMs(arguments.older_than);
    if (!age_ms) return FailWith(ExitCode::kUsage, "--older-than: " + age_ms.error().message);
    request.Add("older_than_ms", *age_ms);
  }
  if (!arguments.to.empty()) {
    const auto bytes = ParseSizeBytes(arguments.to);
    if (!bytes) return FailWith(ExitCode::kUsage, "--to: " + bytes.error().message);
    request.Add("to_bytes", *bytes);
  }
  return {};
}

// Whether the person at the terminal agrees.
bool Agrees(const std::string& question) {
  std::fputs((question + " [y/N] ").c_str(), stdout);
  std::fflush(stdout);
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

Outcome<void> ConfirmClear(const CacheAccess& access) {
  std::string question = "Remove all images from " + Printable(access.directory()) + "?";
  auto asked = access.Ask(Message("cache_info"), [&question](const Message& cache) {
    const int64_t pinned = cache.Number("series_pinned", 0);
    question +=
        fmt::format(" It uses {} for {} series{}.", FormatSize(cache.Number("used_bytes", 0)),
                    CountText(cache.Number("series", 0)),
                    pinned > 0 ? ", and " + CountText(pinned) + " are pinned" : "");
  });
  if (!asked) return asked;
  if (Agrees(question)) return {};
  return FailWith(ExitCode::kFailed, "nothing was removed");
}

}  // namespace

bool IsUid(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string::npos;
}

ExitCode RunCacheInfo(const CacheArguments& arguments, const Caller& caller) {
  const auto target = FindTarget("cache_info", arguments, caller);
  if (!target) return Complain(target.error());
  const auto format = CacheFormat(target->access.directory());
  if (!format) return Complain(format.error());
  return End(target->access.Ask(target->request, [&](const Message& cache) {
    if (arguments.json)
      PrintInfoJson(target->access, *format, cache);
    else
      PrintInfo(target->access, *format, cache);
  }));
}

ExitCode RunCacheList(const CacheArguments& arguments, const Caller& caller) {
  auto target = FindTarget("cache_list", arguments, caller);
  if (!target) return Complain(target.error());
  if (arguments.pinned) target->request.Add("pinned", 1);
  std::vector<Message> all;
  const auto asked =
      target->access.Ask(target->request, [&all](const Message& series) { all.push_back(series); });
  if (!asked) return End(asked);
  if (arguments.json)
    PrintListJson(all);
  else
    PrintList(all);
  return ExitCode::kDone;
}

ExitCode RunCacheVerify(const CacheArguments& arguments, const Caller& caller) {
  const auto target = FindTarget("cache_verify", arguments, caller);
  if (!target) return Complain(target.error());
  const bool paint = CanPaint(STDOUT_FILENO);
  Repainter repainter(STDOUT_FILENO);
  int64_t bad = 0;
  const auto asked = target->access.Ask(target->request, [&](const Message& answer) {
    if (answer.kind() == "progress") {
      if (paint)
        repainter.Show({WorkLine(answer.Number("done_bytes", 0), answer.Number("whole_bytes", 0),
                                 answer.Text("path"), SizeOfTerminal(STDOUT_FILENO).columns)});
      return;
    }
    repainter.Clear();
    if (answer.kind() == "bad") {
      std::printf("%s: %s\n", Printable(answer.Text("path")).c_str(),
                  Printable(answer.Text("reason")).c_str());
    } else if (answer.kind() == "checked") {
      bad = answer.Number("bad", 0);
      std::printf("checked %s images of %s series, %s\n",
                  CountText(answer.Number("instances", 0)).c_str(),
                  CountText(answer.Number("series", 0)).c_str(),
                  FormatSize(answer.Number("size_bytes", 0)).c_str());
    }
    std::fflush(stdout);
  });
  repainter.Clear();
  if (!asked) return End(asked);
  if (bad == 0) return ExitCode::kDone;
  return Complain({ExitCode::kUnverified,
                   CountText(bad) + " of them not intact; taken out, to be fetched again"});
}

ExitCode RunCacheEvict(const CacheArguments& arguments, const Caller& caller) {
  if (arguments.what.empty() && arguments.older_than.empty() && arguments.to.empty())
    return Complain(
        {ExitCode::kUsage, "cache evict: name paths or series, or give --older-than or --to"});
  Message limits("cache_evict");
  if (auto fine = AddLimits(arguments, limits); !fine) return Complain(fine.error());
  auto target = FindTarget("cache_evict", arguments, caller);
  if (!target) return Complain(target.error());
  (void)AddLimits(arguments, target->request);
  return Evict(*target);
}

ExitCode RunCacheClear(const CacheArguments& arguments, const Caller& caller) {
  const bool ask = !arguments.yes;
  if (ask && (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0))
    return Complain({ExitCode::kUsage, "cache clear: there is no terminal to ask at; give --yes"});
  auto target = FindTarget("cache_clear", arguments, caller);
  if (!target) return Complain(target.error());
  if (arguments.keep_pinned) target->request.Add("keep_pinned", 1);
  if (ask)
    if (auto confirmed = ConfirmClear(target->access); !confirmed) return End(confirmed);
  return Evict(*target);
}

}  // namespace tciafs::cli
