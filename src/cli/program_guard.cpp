// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/program_guard.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <deque>
#include <fstream>
#include <iterator>
#include <optional>

#include "cli/limits.h"
#include "tciafs/util/log.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

constexpr const char* kProgramsKeptOut[] = {
    // indexers of names and contents
    "updatedb", "updatedb.mlocate", "updatedb.plocate", "tracker-miner-fs", "tracker-miner-fs-3",
    "tracker-extract", "tracker-extract-3", "localsearch-3", "localsearch-extractor-3",
    "baloo_file", "baloo_file_extractor", "recollindex", "nepomukindexer", "zeitgeist-datahub",
    // thumbnails
    "tumblerd", "evince-thumbnailer", "totem-video-thumbnailer", "gdk-pixbuf-thumbnailer",
    "ffmpegthumbnailer", "gnome-desktop-thumbnailer",
    // virus scanners
    "clamd", "clamonacc", "clamscan", "savscand", "wdavdaemon", "falcon-sensor", "ds_agent"};

// What a process calls itself; the kernel cuts it there.
constexpr size_t kCommBytes = 15;

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// The name of the file it runs, also where that has been replaced by an upgrade meanwhile.
std::string ExecutableName(const std::string& process) {
  constexpr std::string_view kDeleted = " (deleted)";
  char target[PATH_MAX];
  const ssize_t size = ::readlink((process + "/exe").c_str(), target, sizeof target);
  std::string_view path(target, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  if (path.ends_with(kDeleted)) path.remove_suffix(kDeleted.size());
  return std::string(path.substr(path.rfind('/') + 1));
}

// Of the process a thread belongs to: a thread may go by a name of its own.
std::string ProcessName(const std::string& proc, const std::string& thread) {
  std::ifstream status(thread + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Tgid:"))
      return FirstLine(proc + "/" + std::string(TrimBlanks(line.substr(5))) + "/comm");
  return FirstLine(thread + "/comm");
}

}  // namespace

std::vector<std::string> ProgramsKeptOut() {
  return {std::begin(kProgramsKeptOut), std::end(kProgramsKeptOut)};
}

Result<std::vector<std::string>> ParsePrograms(const std::string& text) {
  if (text == "none") return std::vector<std::string>();
  std::string listed = text;
  std::replace(listed.begin(), listed.end(), ',', ':');
  std::vector<std::string> names;
  for (const std::string_view word : SplitText(listed, ':')) {
    const std::string_view name = TrimBlanks(word);
    if (name.empty() || name.find('/') != std::string_view::npos || name == "none")
      return Fail(Errc::kInvalidArgument,
                  "'" + text + "' is no list of program names (NAME:NAME), 'default' or 'none'");
    if (name != "default") {
      names.emplace_back(name);
      continue;
    }
    for (std::string& known : ProgramsKeptOut()) names.push_back(std::move(known));
  }
  return names;
}

struct ProgramGuard::State {
  std::vector<std::string> names;
  std::string proc;
  Mutex mutex;
  std::deque<int64_t> told TCIAFS_GUARDED_BY(mutex);  // processes that were logged

  std::optional<std::string> NameOnList(int64_t pid) const {
    const std::string thread = fmt::format("{}/{}", proc, pid);
    const std::string file = ExecutableName(thread);
    const std::string called = ProcessName(proc, thread);
    for (const std::string& name : names)
      if (name == file || (!called.empty() && name.substr(0, kCommBytes) == called)) return name;
    return std::nullopt;
  }

  bool IsNews(int64_t pid) {
    MutexLock lock(mutex);
    if (std::find(told.begin(), told.end(), pid) != told.end()) return false;
    told.push_back(pid);
    if (told.size() > kProgramsToldMax) told.pop_front();
    return true;
  }
};

ProgramGuard::ProgramGuard(std::vector<std::string> names, std::string proc)
    : state_(std::make_shared<State>()) {
  state_->names = std::move(names);
  state_->proc = std::move(proc);
}

Status ProgramGuard::Check(int64_t pid, const std::string& path) const {
  if (pid <= 0 || state_->names.empty()) return {};
  const auto name = state_->NameOnList(pid);
  if (!name) return {};
  const std::string refusal =
      fmt::format("{} (process {}) may not start downloads; see --no-fetch-for", *name, pid);
  if (state_->IsNews(pid))
    LogWarning("{}: {}", path, refusal);
  else
    LogDebug("{}: {}", path, refusal);
  return Fail(Errc::kNotForProgram, refusal);
}

}  // namespace tciafs::cli
