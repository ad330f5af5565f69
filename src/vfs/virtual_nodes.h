// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The nodes of the files the file system makes itself (vfs/virtual_files.h). They have the highest
// bit of their number set. A node lives while the kernel counts lookups of it and keeps the
// directory it belongs to. Thread-safe; the mutex is a leaf.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "tciafs/util/file_text.h"
#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"
#include "vfs/tables.h"

namespace tciafs::vfs {

inline constexpr NodeId kVirtualBit = NodeId{1} << 63;
// Of nodes, and of handles: those of virtual nodes are the node's number.
inline bool IsVirtual(uint64_t id) { return (id & kVirtualBit) != 0; }

struct VirtualFile {
  enum class Kind { kStatus, kMetrics, kCollections, kRows, kInstances, kOwnRow, kLicense };
  catalog::Level level;  // of the directories that have it in their .tcia
  std::string_view name;
  Kind kind;
  catalog::Level rows = catalog::Level::kRoot;  // kRows: what there is one of for each object
  TableFormat format = TableFormat::kCsv;
};

struct VirtualNode {
  NodeId id = 0;
  NodeId directory = 0;  // of the tree, whose .tcia this is or belongs to
  uint64_t inode = 0;
  uint64_t directory_inode = 0;
  catalog::ObjectPath path;           // of `directory`
  const VirtualFile* file = nullptr;  // null: the directory .tcia
  FileTextPtr text = nullptr;         // of a file
  uint64_t revision = 0;              // of the catalog, which `text` depends on alone; 0: not so
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
  // Counts one lookup of the file's last node, if there is one of that revision.
  std::optional<VirtualNode> EnterAgain(NodeId directory, const VirtualFile* file,
                                        uint64_t revision);
  std::optional<VirtualNode> Find(NodeId id) const;
  // If this was the last lookup: the directory of the tree it belonged to.
  std::optional<NodeId> Forget(NodeId id, uint64_t lookups);
  size_t size() const;

 private:
  using Key = std::pair<NodeId, const VirtualFile*>;
  struct Counted {
    VirtualNode node;
    uint64_t lookups = 0;
  };
  mutable Mutex mutex_;
  std::unordered_map<NodeId, Counted> nodes_ TCIAFS_GUARDED_BY(mutex_);
  std::map<Key, NodeId> last_ TCIAFS_GUARDED_BY(mutex_);  // of each directory and file
  NodeId next_id_ TCIAFS_GUARDED_BY(mutex_) = kVirtualBit + 1;
};

}  // namespace tciafs::vfs
