// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the kernel can make us hold at once, with its reason. Constants only.
#pragma once

#include <cstddef>

namespace tciafs::fuse {

// Requests under way. The kernel bounds only those nobody waits for (read-ahead); of the others
// there is one for each thread that waits, and so at most one waiter in fetching or listing. More
// threads than most machines allow, and each takes more memory than its request does here.
inline constexpr size_t kPendingMax = 100'000;

// Requests the kernel has under way for read-ahead where files are not opened: as many as its
// protocol can name.
inline constexpr unsigned kBackgroundMax = 65'535;

}  // namespace tciafs::fuse
