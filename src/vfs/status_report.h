// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The content of /.tcia/status.json: servers and their health, downloads under way, use of the
// cache, and what failed lately (man/tciafs.1 has the members). Thread-safe; never touches the
// network.
#pragma once

#include <string>

#include "tciafs/vfs/status.h"
#include "vfs/context.h"

namespace tciafs::vfs {

MountStatus TakeStatus(const Context& context);
std::string StatusReport(const MountStatus& status);

}  // namespace tciafs::vfs
