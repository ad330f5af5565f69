// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The helper that `mount -t tciafs SOURCE MOUNTPOINT -o ...` runs: mount.tciafs, the same program
// by another name. SOURCE is `tcia` or `tcia:` (the default servers) or a server's URL. Source of
// the calling convention: mount(8), EXTERNAL HELPERS.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/settings.h"

namespace tciafs::cli {

ExitCode RunMountHelper(const std::vector<std::string>& arguments);

// Completes the settings with the layers below the command line, and mounts.
ExitCode MountWith(const std::string& mountpoint, Settings settings,
                   const std::vector<std::string>& words, bool sloppy);

}  // namespace tciafs::cli
