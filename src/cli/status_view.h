// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The status of a mount in words, a line each: what `tciafs status` prints. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "tciafs/control/message.h"

namespace tciafs::cli {

// Of the answers to "status" (tciafs/control/operations.h). Lines may be longer than `width`, which
// the bars and the shortened paths go by.
std::vector<std::string> StatusLines(const std::vector<control::Message>& answers, int width);

// "12.0 of 26.5 MiB", "12.0 MiB" if the whole is unknown (negative).
std::string ProgressText(int64_t done_bytes, int64_t whole_bytes);

// What work on the cache is at: a bar, bytes, and as much of the path as `columns` have room for.
std::string WorkLine(int64_t done_bytes, int64_t whole_bytes, const std::string& path, int columns);

}  // namespace tciafs::cli
