// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The content of /.tcia/status.json: servers and their health, downloads under way, use of the
// cache, and what failed lately (man/tciafs.1 has the members). Thread-safe; never touches the
// network.
#pragma once

#include <string>

#include "vfs/context.h"

namespace tciafs::vfs {

std::string StatusReport(const Context& context);

// "2026-01-31T12:00:00.000Z"
std::string UtcText(int64_t unix_ms);

}  // namespace tciafs::vfs
