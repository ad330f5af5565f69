// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/runtime_state.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "cli/mountpoint.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

// Where records of a user's mounts may be: new ones go to the first that takes them. The user may
// have mounted with another environment than the caller's, so the usual places are looked at too.
std::vector<std::string> Directories(uint32_t owner_uid, const Caller& caller) {
  const std::string last = fmt::format("/tmp/tciafs-{}", owner_uid);
  if (owner_uid == 0) return {"/run/tciafs", last};
  std::vector<std::string> directories;
  const char* runtime = caller.environment("XDG_RUNTIME_DIR");
  if (caller.uid == owner_uid && runtime != nullptr && *runtime == '/')
    directories.push_back(std::string(runtime) + "/tciafs");
  const std::string usual = fmt::format("/run/user/{}", owner_uid);
  if (!directories.empty() || ::access(usual.c_str(), W_OK) == 0)
    directories.push_back(usual + "/tciafs");
  directories.push_back(last);
  return directories;
}

constexpr std::string_view kRecordSuffix = ".mount";

std::string RecordPath(const std::string& directory, const std::string& mountpoint) {
  return fmt::format("{}/{:016x}{}", directory, Xxh3(AsBytes(mountpoint)), kRecordSuffix);
}

std::string SocketOf(const std::string& record_path) {
  return record_path.substr(0, record_path.size() - kRecordSuffix.size()) + ".socket";
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

std::optional<MountRecord> ReadRecord(const std::string& path) {
  std::ifstream file(path);
  MountRecord record;
  std::string start_time;
  file >> record.pid >> start_time >> std::ws;
  std::getline(file, record.mountpoint);
  std::getline(file, record.cache_dir);
  // Number 1 is the first process of a container.
  if (record.pid < 1 || StartTime(record.pid) != start_time) return std::nullopt;
  record.socket_path = SocketOf(path);
  return record;
}

// The path of the record.
Outcome<std::string> WriteIn(const std::string& directory, const std::string& mountpoint,
                             const std::string& cache_dir, const Caller& caller) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return FailWith(ExitCode::kFailed, directory + ": " + SystemErrorText(errno));
  if (!IsPrivate(directory, caller.uid))
    return FailWith(ExitCode::kFailed, directory + ": belongs to somebody else");
  // Many may have a device of the same number, which means nothing to others.
  const bool handed_over = HandedOverDevice(mountpoint).has_value();
  const std::string path = RecordPath(
      directory, handed_over ? fmt::format("{} of {}", mountpoint, ::getpid()) : mountpoint);
  // Readers find the whole record or none.
  const std::string draft = fmt::format("{}.{}", path, ::getpid());
  std::ofstream file(draft, std::ios::trunc);
  file << ::getpid() << '\n'
       << StartTime(::getpid()) << '\n'
       << mountpoint << '\n'
       << cache_dir << '\n';
  file.close();
  if (file && ::rename(draft.c_str(), path.c_str()) == 0) return path;
  ::unlink(draft.c_str());
  return FailWith(ExitCode::kFailed, path + ": cannot be written");
}

}  // namespace

std::string RuntimeRecord::SocketPathBeside(const std::string& record_path) {
  return SocketOf(record_path);
}

Outcome<RuntimeRecord> RuntimeRecord::Write(const std::string& mountpoint,
                                            const std::string& cache_dir, const Caller& caller) {
  std::string reasons;
  for (const std::string& directory : Directories(caller.uid, caller)) {
    auto path = WriteIn(directory, mountpoint, cache_dir, caller);
    if (path) return RuntimeRecord(*std::move(path));
    reasons += (reasons.empty() ? "" : "; ") + path.error().message;
  }
  return FailWith(ExitCode::kFailed, reasons);
}

RuntimeRecord::~RuntimeRecord() {
  if (path_.empty()) return;
  // Somebody may have mounted there since this process was unmounted.
  const auto record = ReadRecord(path_);
  if (!record || record->pid == ::getpid()) ::unlink(path_.c_str());
}

std::optional<MountRecord> FindRecord(const std::string& mountpoint, uint32_t owner_uid,
                                      const Caller& caller) {
  for (const std::string& directory : Directories(owner_uid, caller)) {
    if (!IsPrivate(directory, owner_uid)) continue;
    auto record = ReadRecord(RecordPath(directory, mountpoint));
    if (record && record->mountpoint == mountpoint) return record;
  }
  return std::nullopt;
}

std::vector<MountRecord> FindRecords(const Caller& caller) {
  std::vector<MountRecord> records;
  for (const std::string& directory : Directories(caller.uid, caller)) {
    if (!IsPrivate(directory, caller.uid)) continue;
    std::error_code failed;
    for (const auto& file : std::filesystem::directory_iterator(directory, failed)) {
      if (file.path().extension() != kRecordSuffix) continue;
      if (auto record = ReadRecord(file.path())) records.push_back(*std::move(record));
    }
  }
  return records;
}

std::optional<MountRecord> FindRecordOfCache(const std::string& cache_dir, const Caller& caller) {
  for (MountRecord& record : FindRecords(caller))
    if (IsSameDirectory(record.cache_dir, cache_dir)) return std::move(record);
  return std::nullopt;
}

bool IsSameDirectory(const std::string& a, const std::string& b) {
  std::error_code failed;
  return a == b || std::filesystem::equivalent(a, b, failed);
}

}  // namespace tciafs::cli
