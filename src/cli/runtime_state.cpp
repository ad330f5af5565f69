// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/runtime_state.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <vector>

#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

// Where records of a user's mounts may be: the first is where new ones go. The user may have
// mounted with another environment than the caller's, so the usual places are looked at too.
std::vector<std::string> Directories(uint32_t owner_uid, const Caller& caller) {
  if (owner_uid == 0) return {"/run/tciafs"};
  std::vector<std::string> directories;
  const char* runtime = caller.environment("XDG_RUNTIME_DIR");
  if (caller.uid == owner_uid && runtime != nullptr && *runtime == '/')
    directories.push_back(std::string(runtime) + "/tciafs");
  const std::string usual = fmt::format("/run/user/{}", owner_uid);
  if (!directories.empty() || ::access(usual.c_str(), W_OK) == 0)
    directories.push_back(usual + "/tciafs");
  directories.push_back(fmt::format("/tmp/tciafs-{}", owner_uid));
  return directories;
}

std::string RecordPath(const std::string& directory, const std::string& mountpoint) {
  return fmt::format("{}/{:016x}.mount", directory, Xxh3(AsBytes(mountpoint)));
}

// Ours alone: in a shared /tmp somebody else may have made the directory first.
bool IsPrivate(const std::string& directory, uint32_t owner_uid) {
  struct stat st {};
  return ::lstat(directory.c_str(), &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == owner_uid &&
         (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Field 22 of /proc/PID/stat, counted after the name, which may hold anything; "" if there is none.
std::string StartTime(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  const auto name_end = stat.rfind(") ");
  if (name_end == std::string::npos) return "";
  const auto fields = SplitText(std::string_view(stat).substr(name_end + 2), ' ');
  constexpr size_t kStartTimeField = 22 - 3;  // fields[0] is number 3
  return fields.size() > kStartTimeField ? std::string(fields[kStartTimeField]) : "";
}

}  // namespace

Outcome<RuntimeRecord> RuntimeRecord::Write(const std::string& mountpoint, const Caller& caller) {
  const std::string directory = Directories(caller.uid, caller).front();
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return FailWith(ExitCode::kFailed, directory + ": " + SystemErrorText(errno));
  if (!IsPrivate(directory, caller.uid))
    return FailWith(ExitCode::kFailed, directory + ": belongs to somebody else");
  const std::string path = RecordPath(directory, mountpoint);
  std::ofstream file(path, std::ios::trunc);
  file << ::getpid() << '\n' << StartTime(::getpid()) << '\n' << mountpoint << '\n';
  file.close();
  if (!file) return FailWith(ExitCode::kFailed, path + ": cannot be written");
  return RuntimeRecord(path);
}

RuntimeRecord::~RuntimeRecord() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

std::optional<pid_t> FindDaemon(const std::string& mountpoint, uint32_t owner_uid,
                                const Caller& caller) {
  for (const std::string& directory : Directories(owner_uid, caller)) {
    if (!IsPrivate(directory, owner_uid)) continue;
    std::ifstream file(RecordPath(directory, mountpoint));
    pid_t pid = 0;
    std::string start_time;
    std::string recorded;
    file >> pid >> start_time >> std::ws;
    std::getline(file, recorded);
    if (pid > 1 && recorded == mountpoint && StartTime(pid) == start_time) return pid;
  }
  return std::nullopt;
}

}  // namespace tciafs::cli
