// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The commands that ask a mount: `tciafs status` and `tciafs refresh`. They print to standard
// output, and what went wrong in one line to standard error.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"

namespace tciafs::cli {

struct StatusArguments {
  std::string path;  // "": every mount of the caller's
  bool json = false;
  bool watch = false;
};
ExitCode RunStatus(const StatusArguments& arguments, const Caller& caller);

ExitCode RunRefresh(const std::vector<std::string>& paths, const Caller& caller);

}  // namespace tciafs::cli
