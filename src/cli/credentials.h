// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// User names, passwords and keys, from a protected file, the environment, a login or netrc, in this
// order; never from the command line. Messages name files and servers, never a secret.
//
// A credentials file holds `username = ` and `password = ` lines. A `server = URL` line makes what
// follows hold for that server alone; lines before the first one hold for all.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "tciafs/nbia/nbia_source.h"

namespace tciafs::cli {

// For one server root. The guest account where nothing is said.
Outcome<nbia::Credentials> FindCredentials(const MountSettings& settings, const std::string& server,
                                           const Caller& caller);
// Refuses a file that others can read: a secret there is none.
Outcome<std::string> ReadSecretFile(const std::string& path);
Outcome<std::string> FindApiKey(const MountSettings& settings, const Caller& caller);

}  // namespace tciafs::cli
