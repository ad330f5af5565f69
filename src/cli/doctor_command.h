// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// `tciafs doctor`: looks at this machine and a mount, or what one would need, and tells what is
// wrong and what to do about it. Prints one line for each thing looked at; changes nothing.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "cli/settings.h"

namespace tciafs::cli {

struct DoctorArguments {
  std::string mountpoint;  // "": only the machine and the servers
  Settings given;          // as for `tciafs mount`
  std::vector<std::string> words;
};

// kDone if nothing fails, else the code of the first thing that does.
ExitCode RunDoctor(const DoctorArguments& arguments, const Caller& caller);

}  // namespace tciafs::cli
