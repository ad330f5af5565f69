// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One name at a time: lookup and attributes. Looking never downloads, unless the user asked for
// unknown sizes to be fetched. Functions over the shared context; thread-safe; callbacks as in
// vfs/filesystem.h.
#pragma once

#include <string>
#include <string_view>

#include "vfs/context.h"

namespace tciafs::vfs {

// How long the kernel may remember that there is no such name.
inline constexpr int64_t kAbsenceValidMs = 2'000;

void LookupName(const ContextRef& context, NodeId parent, std::string_view name, Asker asker,
                Callback<EntryReply> done);
void GetNodeAttributes(const ContextRef& context, NodeId node, Asker asker,
                       Callback<AttributesReply> done);

}  // namespace tciafs::vfs
