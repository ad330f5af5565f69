// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Directories: an open one holds the listing it was opened with, so that offsets mean the same
// until it is closed. An offset is a place (1 after ".", 2 after "..", then the index of the entry
// + 3) in its low 40 bits, and above them the low bits of the listing's version, by which one that
// is read without being opened is found again. Functions over the shared context; thread-safe;
// callbacks as in vfs/filesystem.h.
#pragma once

#include <stop_token>

#include "vfs/context.h"

namespace tciafs::vfs {

void OpenDirectory(const ContextRef& context, NodeId node, std::stop_token stop,
                   Callback<OpenReply> done);
Status ReadDirectory(Context& context, HandleId handle, uint64_t offset, bool with_attributes,
                     const Filesystem::Emit& emit);
void ReleaseDirectory(Context& context, HandleId handle);
void ResumeDirectory(const ContextRef& context, NodeId node, uint64_t offset, std::stop_token stop,
                     Callback<OpenReply> done);
// A kernel that did not open the directory has been given `list`, or would be given it now.
void ListingGiven(Context& context, NodeId node, const catalog::ListAnswer& list);

}  // namespace tciafs::vfs
