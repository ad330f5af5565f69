// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A whole file of this machine: a fault plan, or a body that one sends. A pure function; may be
// called from any thread. Error: kNotFound, if it cannot be read.
#pragma once

#include <string>

#include "tciafs/util/result.h"

namespace tciafs::archive {

Result<std::string> ReadFile(const std::string& path);

}  // namespace tciafs::archive
