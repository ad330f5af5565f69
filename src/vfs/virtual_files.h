// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The files the file system makes itself: .tcia/ in every directory of the tree, reachable by name
// and never listed. kVirtualFiles in virtual_files.cpp is the table of them.
//
// The content is made when its name is looked up, and a lookup makes a node of its own unless the
// content is the same, which the kernel may not keep for the next one: it holds one size and one
// set of pages per node, so that stat, read, mmap, sendfile and copies all see one whole content,
// exact in size, while another program sees a newer one. Inode numbers are derived from the path,
// as everywhere.
//
// Thread-safe. Only the lookup of a table may need the archive (vfs/virtual_content.h).
#pragma once

#include <stop_token>
#include <string>
#include <string_view>

#include "tciafs/vfs/filesystem.h"
#include "vfs/context.h"
#include "vfs/xattrs.h"

namespace tciafs::vfs {

inline constexpr std::string_view kVirtualDirectoryName = ".tcia";

Result<EntryReply> LookupVirtualDirectory(Context& context, const NodeCopy& directory);

// The operations of vfs/filesystem.h on virtual nodes and handles.
void LookupVirtual(const ContextRef& context, NodeId parent, std::string_view name,
                   std::stop_token stop, Callback<EntryReply> done);
void ForgetVirtual(Context& context, NodeId node, uint64_t lookups);
Result<AttributesReply> VirtualAttributes(const Context& context, NodeId node);
Result<OpenReply> OpenVirtualDirectory(const Context& context, NodeId node);
Status ReadVirtualDirectory(const Context& context, HandleId handle, uint64_t offset,
                            const Filesystem::Emit& emit);
Result<OpenReply> OpenVirtual(const Context& context, NodeId node, bool for_writing);
Result<ReadReply> ReadVirtual(const Context& context, NodeId node, int64_t offset,
                              int64_t size_bytes);
// Of the directory: user.tcia.error alone, that of the directory it is in.
Result<Xattrs> VirtualXattrs(const Context& context, NodeId node);
// As a path, for people: of the node, or of `name` in it. "" if it is gone.
std::string VirtualPath(const Context& context, NodeId node, std::string_view name);

}  // namespace tciafs::vfs
