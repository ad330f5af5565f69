// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The arguments of `tciafs cache` and its subcommands.
#pragma once

#include <functional>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"

namespace CLI {
class App;
}

namespace tciafs::cli {

// Adds the subcommand to `app`; what is returned runs whichever of its own was given.
std::function<ExitCode(const Caller&)> AddCacheCommands(CLI::App& app, CLI::App*& cache);

}  // namespace tciafs::cli
