// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The bytes: open, read and release of instances, and what is known of their sizes. From the cache
// at once, else through the fetcher. Functions over the shared context; thread-safe; callbacks as
// in vfs/filesystem.h.
#pragma once

#include <memory>

#include "vfs/context.h"
#include "vfs/series_access.h"

namespace tciafs::vfs {

// For a path at or below a series. Never touches the network.
Result<SeriesAccessPtr> ResolveSeries(const Context& context, const catalog::ObjectPath& path);

void AcquireInstance(Context& context, const SeriesAccess& series, const source::SopUid& sop,
                     Asker asker, Callback<std::shared_ptr<cache::InstanceFile>> done);

void OpenFile(const ContextRef& context, NodeId node, bool for_writing, Asker asker,
              Callback<OpenReply> done);
void ReadFile(const ContextRef& context, NodeId node, HandleId handle, int64_t offset,
              int64_t size_bytes, Asker asker, Callback<ReadReply> done);
void ReleaseFile(Context& context, HandleId handle);
Result<BackingReply> FileHandleBacking(Context& context, HandleId handle);
Result<ReadReply> FileHandleHead(const ContextRef& context, HandleId handle);
// Exact, and at once.
Result<AttributesReply> FileHandleAttributes(Context& context, NodeId node, HandleId handle);

}  // namespace tciafs::vfs
