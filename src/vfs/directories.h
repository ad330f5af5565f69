// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Directories: an open one holds the listing it was opened with, so that offsets mean the same
// until it is closed: 1 after ".", 2 after "..", then the index of the entry + 3. Functions over
// the shared context; thread-safe; callbacks as in vfs/filesystem.h.
#pragma once

#include <stop_token>

#include "vfs/context.h"

namespace tciafs::vfs {

void OpenDirectory(const ContextRef& context, NodeId node, std::stop_token stop,
                   Callback<OpenReply> done);
Status ReadDirectory(Context& context, HandleId handle, uint64_t offset, bool with_attributes,
                     const Filesystem::Emit& emit);
void ReleaseDirectory(Context& context, HandleId handle);

}  // namespace tciafs::vfs
