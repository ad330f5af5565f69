// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// From an entry of the catalog to what the kernel is told of it: size, time, node, and how long it
// may be believed. Shared by lookups and directory reading. Thread-safe; never touches the network.
#pragma once

#include <optional>

#include "vfs/attributes.h"
#include "vfs/context.h"
#include "vfs/series_access.h"

namespace tciafs::vfs {

// nullopt: the name stands for no id.
std::optional<catalog::ObjectPath> PathOf(const catalog::ObjectPath& directory,
                                          const catalog::Entry& entry);

// The attribute that names the server which lists a collection.
source::Attribute ServerOf(const std::vector<catalog::ServerHealth>& servers, size_t server);

// Without the instances that are known: for one entry, `KnownBytes` asks for that one alone.
SeriesSnapshot SeriesRecordOf(const Context& context, const catalog::ObjectPath& path);
int64_t KnownBytes(const Context& context, const SeriesSnapshot& series, const source::SopUid& sop);
int64_t KnownBytes(const SeriesSnapshot& series, const source::SopUid& sop);
// Null if nothing is known of it.
const cache::KnownInstance* FindKnown(const SeriesSnapshot& series, const source::SopUid& sop);

// `exact_bytes` -1: unknown.
InstanceSize SizeOf(const Context& context, const catalog::Entry& entry,
                    const SeriesSnapshot& series, int64_t exact_bytes);
int64_t ModifiedOf(const catalog::Entry& entry, const SeriesSnapshot& series);
// True for a size the kernel would have to be told a guess of, where the user wants no guesses.
bool MustFetch(const Context& context, const std::optional<InstanceSize>& size);

AttributesReply FileReply(const Context& context, uint64_t inode, int64_t modified_s,
                          const InstanceSize& told, int64_t fresh_for_ms);
AttributesReply DirectoryReply(const Context& context, uint64_t inode, int64_t modified_s,
                               const ListedState& listed, int64_t fresh_for_ms);
// Until when the kernel may keep the attributes of a directory (monotonic).
int64_t ToldUntil(const Context& context, int64_t fresh_for_ms);
// Counts the lookup. nullopt if the parent is gone.
std::optional<EntryReply> EnterEntry(Context& context, NodeId parent, NodeFacts facts,
                                     int64_t fresh_for_ms);

}  // namespace tciafs::vfs
