// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <fmt/core.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/archive_stack.h"
#include "cli/cache_access.h"
#include "cli/doctor_checks.h"
#include "cli/runtime_state.h"
#include "tciafs/cache/disk_cache.h"
#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

constexpr uint32_t kTmpfs = 0x01021994;

std::string CacheName(const MountSettings& settings) { return "cache " + settings.cache_dir; }

// The directory, or where it would have to be made.
std::string NearestThatExists(const std::string& directory) {
  std::filesystem::path path = directory;
  struct stat st {};
  while (path.has_relative_path() && ::stat(path.c_str(), &st) != 0 &&
         (errno == ENOENT || errno == ENOTDIR))
    path = path.parent_path();
  return path.string();
}

// Makes something there and takes it away again: permissions alone do not tell.
int WriteError(const std::string& directory) {
  std::string name = directory + "/.tciafs-doctor-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return errno;
  ::rmdir(name.c_str());
  return 0;
}

Finding CheckWritable(const MountSettings& settings, const Caller& caller,
                      const std::string& directory) {
  const bool there = directory == settings.cache_dir;
  if (const int error = WriteError(directory); error != 0)
    return Finding::Fail(ExitCode::kCache,
                         fmt::format("{}: {} cannot be written ({})", CacheName(settings),
                                     there ? "it" : directory, SystemErrorText(error)),
                         "choose another with --cache-dir");
  if (const auto owned = CheckCacheOwner(settings.cache_dir, caller); !owned)
    return Finding::Fail(owned.error().code, owned.error().message,
                         "take one of your own with --cache-dir");
  return Finding::Ok(CacheName(settings) + (there ? " can be written" : " can be made"));
}

Finding CheckSpace(const MountSettings& settings, const std::string& directory) {
  struct statvfs space {};
  if (::statvfs(directory.c_str(), &space) != 0)
    return Finding::Warn(CacheName(settings) + ": " + SystemErrorText(errno),
                         "its free space is not known");
  const auto bytes = [&space](auto blocks) {
    return static_cast<int64_t>(blocks) * static_cast<int64_t>(space.f_frsize);
  };
  const int64_t disk_bytes = bytes(space.f_blocks);
  const int64_t free_bytes = bytes(space.f_bavail);
  const int64_t floor_bytes =
      settings.min_free_bytes + disk_bytes / 100 * settings.min_free_percent;
  const std::string what = fmt::format("{}: {} free of {}", CacheName(settings),
                                       FormatSize(free_bytes), FormatSize(disk_bytes));
  if (settings.cache_bytes_max > 0 && settings.cache_bytes_max < cache::kCapBytesMin)
    return Finding::Fail(ExitCode::kCache,
                         "--cache-size " + FormatSize(settings.cache_bytes_max) + " is too little",
                         "give it at least " + FormatSize(cache::kCapBytesMin));
  if (free_bytes <= floor_bytes)
    return Finding::Fail(
        ExitCode::kCache,
        fmt::format("{}, and --min-free wants {} left alone", what, FormatSize(floor_bytes)),
        "make space, lower --min-free, or choose another disk with --cache-dir");
  if (settings.cache_bytes_max > disk_bytes - floor_bytes)
    return Finding::Warn(
        fmt::format("{}, and --cache-size is {}", what, FormatSize(settings.cache_bytes_max)),
        "it never gets so large; --min-free holds it back");
  return Finding::Ok(what);
}

Findings CheckKind(const MountSettings& settings, const std::string& directory) {
  const std::string network = NetworkFileSystemAt(directory);
  if (!network.empty())
    return {Finding::Warn(CacheName(settings) + " is on " + network,
                          "its index needs a local disk to be fast and safe; choose one with "
                          "--cache-dir")};
  struct statfs st {};
  if (::statfs(directory.c_str(), &st) == 0 && static_cast<uint32_t>(st.f_type) == kTmpfs)
    return {Finding::Warn(CacheName(settings) + " is in memory (tmpfs)",
                          "it takes memory and is gone after a restart; choose a disk with "
                          "--cache-dir")};
  return {};
}

Findings CheckFormat(const MountSettings& settings) {
  if (const Status checked = cache::CheckCacheDirectory(settings.cache_dir + "/images"); !checked)
    return {Finding::Fail(ExitCode::kCache, CacheName(settings) + ": " + checked.error().message,
                          "choose another with --cache-dir")};
  const auto format = CacheFormat(settings.cache_dir);
  if (!format || *format == cache::kFormatVersion) return {};
  if (*format < cache::kFormatVersion)
    return {Finding::Warn(CacheName(settings) + ": written by an older tciafs (format " +
                              std::to_string(*format) + ")",
                          "the next mount removes its images, to be fetched again, and keeps what "
                          "is pinned")};
  return {Finding::Fail(
      ExitCode::kCache,
      CacheName(settings) + ": written by a newer tciafs (format " + std::to_string(*format) + ")",
      "mount with that one, or choose another cache with --cache-dir")};
}

// The process that holds the lock, 0 if none does. Looked up and not tried: whoever tries a lock
// holds it for a moment.
pid_t LockHolder(const std::string& lock_file) {
  struct stat st {};
  std::ifstream file(lock_file);
  pid_t pid = 0;
  if (!(file >> pid) || ::stat(lock_file.c_str(), &st) != 0) return 0;
  std::ifstream locks("/proc/locks");
  const std::string wanted = fmt::format(":{}", st.st_ino);
  for (std::string line; std::getline(locks, line);) {
    std::vector<std::string_view> words;
    for (const std::string_view word : SplitText(line, ' '))
      if (!word.empty()) words.push_back(word);
    // "1: FLOCK ADVISORY WRITE 4711 fd:01:131074 0 EOF"
    if (words.size() > 5 && words[1] == "FLOCK" && words[4] == std::to_string(pid) &&
        words[5].ends_with(wanted))
      return pid;
  }
  return 0;
}

Findings CheckOwner(const MountSettings& settings, const std::string& mountpoint,
                    const Caller& caller) {
  const pid_t pid = LockHolder(settings.cache_dir + "/images/lock");
  if (pid == 0) return {};
  const auto record = FindRecordOfCache(settings.cache_dir, caller);
  const std::string who = fmt::format("{}: in use by process {}{}", CacheName(settings), pid,
                                      record ? ", the mount on " + record->mountpoint : "");
  if (mountpoint.empty() || (record && record->mountpoint == mountpoint)) return {Finding::Ok(who)};
  return {
      Finding::Fail(ExitCode::kCache, who,
                    "give this mount a cache of its own with --cache-dir, or unmount that one")};
}

}  // namespace

Findings CheckCache(const MountSettings& settings, const std::string& mountpoint,
                    const Caller& caller) {
  const std::string directory = NearestThatExists(settings.cache_dir);
  std::error_code failed;
  if (!std::filesystem::is_directory(directory, failed))
    return {Finding::Fail(ExitCode::kCache,
                          fmt::format("{}: {} is not a directory", CacheName(settings), directory),
                          "choose another with --cache-dir")};
  Findings findings{CheckWritable(settings, caller, directory)};
  if (findings.front().grade == Finding::Grade::kFail) return findings;
  findings.push_back(CheckSpace(settings, directory));
  for (Findings more : {CheckKind(settings, directory), CheckFormat(settings),
                        CheckOwner(settings, mountpoint, caller)})
    findings.insert(findings.end(), more.begin(), more.end());
  return findings;
}

// Numbers of the kernel's, linux/magic.h and the file systems' own headers.
std::string NetworkFileSystemAt(const std::string& path) {
  struct statfs st {};
  if (::statfs(path.c_str(), &st) != 0) return "";
  switch (static_cast<uint32_t>(st.f_type)) {
    case 0x6969:
      return "NFS";
    case 0x517b:
    case 0xff534d42:
    case 0xfe534d42:
      return "SMB";
    case 0x00c36400:
      return "CephFS";
    case 0x0bd00bd0:
      return "Lustre";
    case 0x47504653:
      return "GPFS";
    case 0x19830326:
      return "BeeGFS";
    case 0x5346414f:
    case 0x6b414653:
      return "AFS";
    case 0x01021997:
      return "9P";
    default:
      return "";
  }
}

}  // namespace tciafs::cli
