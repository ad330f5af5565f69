// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Fetching the next series of a study for a reader who goes from series to series: when two that
// follow each other in the listing have been read through, the one after them is asked for, once.
// Whether it is fetched is the fetcher's decision (fetch::Fetcher::FetchAhead). Who reads heads
// only, or one series, or series here and there, causes nothing.
#pragma once

#include "vfs/context.h"

namespace tciafs::vfs {

// The instance behind the node has been read to its end. Thread-safe.
void FollowReader(const ContextRef& context, NodeId node);

}  // namespace tciafs::vfs
