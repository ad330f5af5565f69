// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How a command finds the mount a path belongs to, and talks to the process that serves it. Never
// touches the inside of a mount, which may be dead or slow; asks only one whose process is not
// known whether it is dead.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cli/exit_code.h"
#include "cli/limits.h"
#include "cli/mount_settings.h"
#include "cli/mountpoint.h"
#include "tciafs/control/channel.h"

namespace tciafs::cli {

struct MountedPath {
  MountEntry mount;
  std::string inside;  // "/Collection/..." ; "/" is the mountpoint itself
};

// kFailed: the path is in no mount of ours. Symbolic links on the way to the mountpoint are
// followed, with "." and ".." taken out first.
Outcome<MountedPath> FindMountedPath(const std::string& path);

// kFailed: not the caller's mount, or its process has gone or is not known.
Outcome<control::Connection> ConnectTo(const MountEntry& mount, const Caller& caller);

// Asks; an error that the mount answers with ends as the exit code that fits it.
Outcome<void> AskMount(control::Connection& connection, const control::Message& request,
                       const std::function<void(const control::Message&)>& on_answer,
                       int64_t silence_max_ms = kAnswerWaitMaxMs);

ExitCode ExitCodeOf(Errc code);

// The paths of one command must belong to one mount.
struct MountedPaths {
  MountEntry mount;
  std::vector<std::string> inside;
};
Outcome<MountedPaths> FindMountedPaths(const std::vector<std::string>& paths);

std::string UserName(uint32_t uid);  // "user 1000" if it has none

// "tciafs: message", and the code.
ExitCode Complain(const Failure& failure);

}  // namespace tciafs::cli
