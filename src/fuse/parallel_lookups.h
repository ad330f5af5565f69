// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Lookups and listings of one directory side by side. The kernel sends them one at a time unless it
// is told that they may come together, and libfuse before 3.16.2 does not pass that on to it,
// whatever capability is wanted: a lookup that waits for the archive would keep everybody else out
// of its directory, where no signal ends them. So the flag is set in the answer to INIT on its way.
// Source: struct fuse_init_out of linux/fuse.h; libfuse's change "Pass FUSE_PARALLEL_DIROPS to
// kernel".
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

namespace tciafs::fuse {

// Once, when the session is mounted and before its loop. Does nothing where libfuse does it.
void PassParallelLookupsOn(fuse_session* session);

// From the handler of INIT, in its thread: the answer that follows is the one.
void ParallelLookupsWanted();

}  // namespace tciafs::fuse
