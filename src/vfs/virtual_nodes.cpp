// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/virtual_nodes.h"

#include <algorithm>

namespace tciafs::vfs {

VirtualNodes::Entered VirtualNodes::Enter(VirtualNode node) {
  MutexLock lock(mutex_);
  const Key key(node.directory, node.file);
  if (node.file == nullptr) {
    if (const auto known = last_.find(key); known != last_.end()) {
      ++nodes_.at(known->second).lookups;
      return {known->second, false};
    }
  }
  const NodeId id = node.id = next_id_++;
  last_.insert_or_assign(key, id);
  nodes_.emplace(id, Counted{std::move(node), 1});
  return {id, true};
}

std::optional<VirtualNode> VirtualNodes::EnterAgain(NodeId directory, const VirtualFile* file,
                                                    uint64_t revision) {
  MutexLock lock(mutex_);
  const auto last = last_.find({directory, file});
  if (last == last_.end()) return std::nullopt;
  Counted& counted = nodes_.at(last->second);
  if (counted.node.revision == 0 || counted.node.revision != revision) return std::nullopt;
  ++counted.lookups;
  return counted.node;
}

std::optional<VirtualNode> VirtualNodes::Find(NodeId id) const {
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return std::nullopt;
  return found->second.node;
}

std::optional<NodeId> VirtualNodes::Forget(NodeId id, uint64_t lookups) {
  std::unordered_map<NodeId, Counted>::node_type gone;  // its text goes outside the lock
  MutexLock lock(mutex_);
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return std::nullopt;
  found->second.lookups -= std::min(found->second.lookups, lookups);
  if (found->second.lookups > 0) return std::nullopt;
  gone = nodes_.extract(found);
  const VirtualNode& node = gone.mapped().node;
  const auto last = last_.find({node.directory, node.file});
  if (last != last_.end() && last->second == id) last_.erase(last);
  return node.directory;
}

size_t VirtualNodes::size() const {
  MutexLock lock(mutex_);
  return nodes_.size();
}

}  // namespace tciafs::vfs
