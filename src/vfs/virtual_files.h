// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The files the file system makes itself: .tcia/ in a directory of the tree, reachable by name and
// never listed. kVirtualFiles in virtual_files.cpp is the table of them; a directory whose level
// has none has no .tcia (and nobody is asked whether it has).
//
// The content is made when its name is looked up, and every lookup makes a node of its own, which
// the kernel may not keep for the next one: it holds one size and one set of pages per node, so
// that stat, read, mmap, sendfile and copies all see one whole content, exact in size, while
// another program sees a newer one. Inode numbers are derived from the path, as everywhere.
//
// Nodes have the highest bit of their number set. A node lives while the kernel counts lookups of
// it and keeps the directory it belongs to. Thread-safe; nothing here touches the network or waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::vfs {

struct Context;
struct NodeCopy;

inline constexpr std::string_view kVirtualDirectoryName = ".tcia";
inline constexpr NodeId kVirtualBit = NodeId{1} << 63;
// Of nodes, and of handles: those of virtual nodes are the node's number.
inline bool IsVirtual(uint64_t id) { return (id & kVirtualBit) != 0; }

struct VirtualFile {
  catalog::Level level;  // of the directories that have it in their .tcia
  std::string_view name;
  Result<std::string> (*generate)(const Context& context, const catalog::ObjectPath& directory);
};

struct VirtualNode {
  NodeId id = 0;
  NodeId directory = 0;  // of the tree, whose .tcia this is or belongs to
  uint64_t inode = 0;
  uint64_t directory_inode = 0;
  catalog::ObjectPath path;                           // of `directory`
  const VirtualFile* file = nullptr;                  // null: the directory .tcia
  std::shared_ptr<const std::string> text = nullptr;  // of a file
  int64_t modified_s = 0;
};

class VirtualNodes {
 public:
  struct Entered {
    NodeId id = 0;
    bool is_new = false;
  };
  // Counts one lookup; for a directory perhaps of the node that is there already.
  Entered Enter(VirtualNode node);
  std::optional<VirtualNode> Find(NodeId id) const;
  // If this was the last lookup: the directory of the tree it belonged to.
  std::optional<NodeId> Forget(NodeId id, uint64_t lookups);
  size_t size() const;

 private:
  struct Counted {
    VirtualNode node;
    uint64_t lookups = 0;
  };
  mutable Mutex mutex_;
  std::unordered_map<NodeId, Counted> nodes_ TCIAFS_GUARDED_BY(mutex_);
  std::map<NodeId, NodeId> directories_ TCIAFS_GUARDED_BY(mutex_);  // by the tree's
  NodeId next_id_ TCIAFS_GUARDED_BY(mutex_) = kVirtualBit + 1;
};

// .tcia in a directory of the tree: node 0 where it has none.
Result<EntryReply> LookupVirtualDirectory(Context& context, const NodeCopy& directory);

// The operations of vfs/filesystem.h on virtual nodes and handles.
Result<EntryReply> LookupVirtual(Context& context, NodeId parent, std::string_view name);
void ForgetVirtual(Context& context, NodeId node, uint64_t lookups);
Result<AttributesReply> VirtualAttributes(const Context& context, NodeId node);
Result<OpenReply> OpenVirtualDirectory(const Context& context, NodeId node);
Status ReadVirtualDirectory(const Context& context, HandleId handle, uint64_t offset,
                            const Filesystem::Emit& emit);
Result<OpenReply> OpenVirtual(const Context& context, NodeId node, bool for_writing);
Result<ReadReply> ReadVirtual(const Context& context, NodeId node, int64_t offset,
                              int64_t size_bytes);

}  // namespace tciafs::vfs
