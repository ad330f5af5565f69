// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// `tciafs mount` from checked settings to the end of the mount, and `tciafs umount`.
#pragma once

#include <string>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"

namespace tciafs::cli {

// Returns in the parent when the mount answers or has failed; in the foreground, and in the daemon,
// when it has ended. Prints its own messages.
ExitCode RunMount(MountSettings settings, const Caller& caller);

struct UmountRequest {
  std::string mountpoint;
  bool only_dead = false;  // a mount that works is left alone, and so is a directory without one
};

// Waits until the daemon has gone. A mount in use is detached by asking its daemon to end.
ExitCode RunUmount(const UmountRequest& request, const Caller& caller);

}  // namespace tciafs::cli
