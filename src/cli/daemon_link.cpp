// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/daemon_link.h"

#include <pwd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "cli/limits.h"
#include "cli/runtime_state.h"

namespace tciafs::cli {
namespace {

std::optional<MountEntry> OursAt(const std::vector<MountEntry>& table, const std::string& path) {
  std::optional<MountEntry> topmost;
  for (const MountEntry& entry : table)
    if (entry.mountpoint == path) topmost = entry;
  if (topmost && topmost->type != "fuse.tciafs") return std::nullopt;
  return topmost;
}

// Walks down from the root until it stands on a mount of ours or has used up the path. Where it
// meets a symbolic link, that is put in its place and the walk begins again.
struct Walk {
  std::optional<MountedPath> found;
  std::optional<std::filesystem::path> redirected;
};
Walk WalkDown(const std::vector<MountEntry>& table, const std::filesystem::path& path) {
  std::filesystem::path at = "/";
  const std::filesystem::path relative = path.relative_path();
  for (auto part = relative.begin(); part != relative.end(); ++part) {
    at /= *part;
    std::filesystem::path rest;
    for (auto next = std::next(part); next != relative.end(); ++next) rest /= *next;
    if (const auto mount = OursAt(table, at.string()))
      return {MountedPath{*mount, "/" + rest.string()}, {}};
    std::error_code failed;
    const auto target = std::filesystem::read_symlink(at, failed);
    if (!failed) return {{}, (at.parent_path() / target / rest).lexically_normal()};
  }
  return {};
}

}  // namespace

std::string UserName(uint32_t uid) {
  const passwd* user = ::getpwuid(uid);
  return user != nullptr ? user->pw_name : "user " + std::to_string(uid);
}

Outcome<MountedPath> FindMountedPath(const std::string& path) {
  std::error_code failed;
  std::filesystem::path absolute = std::filesystem::absolute(path, failed).lexically_normal();
  const auto table = ReadMountTable();
  for (int links = 0; links <= kLinksMax; ++links) {
    auto walk = WalkDown(table, absolute);
    if (walk.found) return *std::move(walk.found);
    if (!walk.redirected) break;
    absolute = *std::move(walk.redirected);
  }
  return FailWith(ExitCode::kFailed, path + ": not in a mounted tciafs");
}

Outcome<MountedPaths> FindMountedPaths(const std::vector<std::string>& paths) {
  MountedPaths found;
  for (const std::string& path : paths) {
    auto one = FindMountedPath(path);
    if (!one) return tl::unexpected(one.error());
    if (!found.inside.empty() && one->mount.mountpoint != found.mount.mountpoint)
      return FailWith(ExitCode::kUsage, path + ": in another mount than " + paths.front());
    found.mount = std::move(one->mount);
    found.inside.push_back(std::move(one->inside));
  }
  return found;
}

Outcome<control::Connection> ConnectTo(const MountEntry& mount, const Caller& caller) {
  const std::string& mountpoint = mount.mountpoint;
  if (caller.uid != 0 && caller.uid != mount.owner_uid)
    return FailWith(ExitCode::kFailed, mountpoint + ": mounted by " + UserName(mount.owner_uid) +
                                           ", and only they or root can talk to it");
  const auto record = FindRecord(mountpoint, mount.owner_uid, caller);
  if (!record && IsDeadMount(mountpoint))
    return FailWith(ExitCode::kFailed, mountpoint +
                                           ": the process that served it has gone; clean up with: "
                                           "tciafs umount " +
                                           mountpoint);
  if (!record)
    return FailWith(ExitCode::kFailed, mountpoint +
                                           ": its process is not known here; it was mounted in "
                                           "another place or container, or left no record");
  auto connection = control::Connection::Open(record->socket_path);
  const std::string who = mountpoint + ": process " + std::to_string(record->pid);
  if (!connection)
    return FailWith(ExitCode::kFailed, who + " cannot be reached: " + connection.error().message);
  connection->Name(who);
  return *std::move(connection);
}

ExitCode ExitCodeOf(Errc code) {
  switch (code) {
    case Errc::kTimedOut:
    case Errc::kUnavailable:
    case Errc::kThrottled:
    case Errc::kUnreachable:
    case Errc::kOffline:
      return ExitCode::kArchive;
    case Errc::kPermission:
    case Errc::kUnauthenticated:
      return ExitCode::kCredentials;
    case Errc::kCorrupt:
      return ExitCode::kUnverified;
    case Errc::kInvalidArgument:
    case Errc::kNotFound:
    case Errc::kNotDirectory:
    case Errc::kIsDirectory:
    case Errc::kNameTooLong:
    case Errc::kReadOnly:
    case Errc::kNotForProgram:
    case Errc::kStale:
    case Errc::kCancelled:
    case Errc::kNoSpace:
    case Errc::kNoAttribute:
    case Errc::kUnsupported:
    case Errc::kBusy:
    case Errc::kInternal:
      return ExitCode::kFailed;
  }
  return ExitCode::kFailed;
}

Outcome<void> AskMount(control::Connection& connection, const control::Message& request,
                       const std::function<void(const control::Message&)>& on_answer,
                       int64_t silence_max_ms) {
  const Status asked = control::Ask(connection, request, silence_max_ms, on_answer);
  if (asked) return {};
  return FailWith(ExitCodeOf(asked.error().code), asked.error().message);
}

ExitCode Complain(const Failure& failure) {
  std::fprintf(stderr, "tciafs: %s\n", failure.message.c_str());
  return failure.code;
}

}  // namespace tciafs::cli
