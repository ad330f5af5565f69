// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the private channel of a mount takes, with the reason of each. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::control {

// The longest line is status.json, some 400 bytes for each download, server and failure it tells.
inline constexpr size_t kLineBytesMax = size_t{4} << 20;
// As many paths as a command line of the usual 2 MB can name.
inline constexpr size_t kFieldsMax = 100'000;
// Each takes a thread; a person has a few windows open, a script perhaps a loop.
inline constexpr size_t kRequestsMax = 32;
// Series one request has under way or in the queue at once; more wait with the request.
inline constexpr int kJobsMax = 64;
// Between connecting and asking: both are done by one program, one after the other.
inline constexpr int64_t kRequestWaitMaxMs = 5'000;
// For a program that does not read what it has asked for: a terminal that was paused.
inline constexpr int64_t kSendWaitMaxMs = 60'000;

// Between two answers that only tell how far something has come: often enough for a bar.
inline constexpr int64_t kProgressPauseMs = 200;

}  // namespace tciafs::control
