// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/mountpoint.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "tciafs/util/text.h"

extern char** environ;

namespace tciafs::cli {
namespace {

// The table writes blanks, tabs, newlines and backslashes as \040 and so on.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// The user_id= among a file system's options.
uint32_t OwnerIn(std::string_view options) {
  constexpr std::string_view kName = "user_id=";
  uint32_t uid = 0;
  for (const std::string_view option : SplitText(options, ','))
    if (option.starts_with(kName))
      std::from_chars(option.data() + kName.size(), option.data() + option.size(), uid);
  return uid;
}

Outcome<void> CheckHandedOverDevice(int fd) {
  const auto refuse = [fd](const std::string& why) {
    return FailWith(ExitCode::kCannotMount, "/dev/fd/" + std::to_string(fd) + ": " + why);
  };
  if (fd <= STDERR_FILENO) return refuse("is a standard stream; hand the device over as 3 or more");
  struct stat st {};
  if (::fstat(fd, &st) != 0) return refuse(SystemErrorText(errno));
  constexpr unsigned kMiscMajor = 10;
  constexpr unsigned kFuseMinor = 229;
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(kMiscMajor, kFuseMinor))
    return refuse("is not /dev/fuse");
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return {};
}

}  // namespace

std::vector<MountEntry> ParseMountTable(const std::string& mountinfo) {
  std::vector<MountEntry> entries;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const auto fields = SplitText(line, ' ');
    size_t separator = 6;  // optional fields end at a lone "-"
    while (separator < fields.size() && fields[separator] != "-") ++separator;
    if (separator + 2 >= fields.size()) continue;
    entries.push_back({Unescape(fields[4]), Unescape(fields[separator + 1]),
                       Unescape(fields[separator + 2]),
                       separator + 3 < fields.size() ? OwnerIn(fields[separator + 3]) : 0});
  }
  return entries;
}

std::vector<MountEntry> ReadMountTable() {
  std::ifstream file("/proc/self/mountinfo");
  return ParseMountTable({std::istreambuf_iterator<char>(file), {}});
}

std::optional<MountEntry> FindMount(const std::string& absolute_path, bool any_type) {
  std::optional<MountEntry> topmost;
  for (MountEntry& entry : ReadMountTable())
    if (entry.mountpoint == absolute_path) topmost = std::move(entry);
  if (topmost && !any_type && topmost->type != "fuse.tciafs") return std::nullopt;
  return topmost;
}

bool IsDeadMount(const std::string& mountpoint) {
  struct statfs st {};
  return ::statfs(mountpoint.c_str(), &st) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

int DetachMount(const std::string& mountpoint, uint32_t caller_uid, bool lazily) {
  if (caller_uid == 0) {
    const int flags = UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0);
    return ::umount2(mountpoint.c_str(), flags) == 0 ? 0 : errno;
  }
  const char* arguments[] = {"fusermount3",      "-u",   "-q", lazily ? "-z" : "--",
                             mountpoint.c_str(), nullptr};
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "fusermount3", nullptr, nullptr,
                                    const_cast<char* const*>(arguments), environ);
  if (failed != 0) return failed;
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  return FindMount(mountpoint) ? EBUSY : 0;  // its exit code tells no reason
}

std::string ResolveMountpoint(const std::string& path) {
  if (HandedOverDevice(path)) return path;
  std::error_code failed;
  std::filesystem::path absolute = std::filesystem::absolute(path, failed).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // a trailing slash
  const auto parent = std::filesystem::canonical(absolute.parent_path(), failed);
  if (failed) return absolute.string();
  const std::string unresolved = (parent / absolute.filename()).string();
  if (FindMount(unresolved, true)) return unresolved;
  const auto resolved = std::filesystem::canonical(unresolved, failed);  // may be a symbolic link
  return failed ? unresolved : resolved.string();
}

Outcome<std::string> CheckMountpoint(const std::string& path, bool allow_nonempty) {
  if (const auto device = HandedOverDevice(path)) {
    if (auto checked = CheckHandedOverDevice(*device); !checked)
      return tl::unexpected(checked.error());
    return path;
  }
  const std::string mountpoint = ResolveMountpoint(path);
  const auto refuse = [&mountpoint](const std::string& why) {
    return FailWith(ExitCode::kCannotMount, "mountpoint " + mountpoint + ": " + why);
  };
  if (IsDeadMount(mountpoint))
    return refuse("a dead mount is there; clean it up with: tciafs umount " + mountpoint);
  const bool ours = FindMount(mountpoint).has_value();
  struct stat st {};
  if (::stat(mountpoint.c_str(), &st) != 0) {
    if (errno == ENOENT) return refuse("no such directory; make it with: mkdir -p " + mountpoint);
    return refuse(SystemErrorText(errno));
  }
  if (ours) return refuse("already mounted");
  if (!S_ISDIR(st.st_mode)) return refuse("not a directory");
  if (allow_nonempty) return mountpoint;
  std::error_code failed;
  const auto first = std::filesystem::directory_iterator(mountpoint, failed);
  if (failed) return refuse(failed.message());
  if (first != std::filesystem::directory_iterator())
    return refuse("not empty; mount on an empty directory, or hide its files with -o nonempty");
  return mountpoint;
}

bool IsInside(const std::string& path, const std::string& directory) {
  std::error_code failed;
  const auto real = [&failed](const std::string& name) {
    auto resolved = std::filesystem::weakly_canonical(name, failed).string();
    return failed ? name : resolved;
  };
  const std::string inner = real(path);
  const std::string outer = real(directory);
  return inner == outer || inner.starts_with(outer.ends_with('/') ? outer : outer + "/");
}

std::optional<int> HandedOverDevice(const std::string& path) {
  constexpr std::string_view kPrefix = "/dev/fd/";
  if (!path.starts_with(kPrefix)) return std::nullopt;
  int fd = -1;
  const char* end = path.data() + path.size();
  const auto parsed = std::from_chars(path.data() + kPrefix.size(), end, fd);
  if (parsed.ec != std::errc() || parsed.ptr != end || fd < 0) return std::nullopt;
  return fd;
}

}  // namespace tciafs::cli
