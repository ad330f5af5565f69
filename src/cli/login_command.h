// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// `tciafs login` and `tciafs logout`: tokens of a private NBIA server, obtained for a password that
// is typed and not kept, and given up again. No secret is printed or part of a message.
#pragma once

#include <string>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "cli/settings.h"

namespace tciafs::cli {

struct LoginArguments {
  std::string url;
  std::string username;  // "": login asks for it; logout means every account
  Settings given;        // --proxy, --cacert
};

// Asks on the terminal, without echo for the password; where standard input is none, reads a line
// each from it.
ExitCode RunLogin(const LoginArguments& arguments, const Caller& caller);
ExitCode RunLogout(const LoginArguments& arguments, const Caller& caller);

}  // namespace tciafs::cli
