// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Open files and open directories, by the number the kernel holds. Numbers are never reused.
// Thread-safe; the mutexes are leaves. A handle found stays alive while the caller holds it, also
// after its release.
#pragma once

#include <memory>
#include <unordered_map>
#include <utility>

#include "tciafs/cache/block_cache.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/util/mutex.h"
#include "tciafs/vfs/filesystem.h"
#include "vfs/node_table.h"
#include "vfs/series_access.h"

namespace tciafs::vfs {

template <typename Handle>
class HandleTable {
 public:
  HandleId Add(std::shared_ptr<Handle> handle) {
    MutexLock lock(mutex_);
    handles_.emplace(next_id_, std::move(handle));
    return next_id_++;
  }
  std::shared_ptr<Handle> Find(HandleId id) const {
    MutexLock lock(mutex_);
    const auto found = handles_.find(id);
    return found != handles_.end() ? found->second : nullptr;
  }
  std::shared_ptr<Handle> Remove(HandleId id) {
    MutexLock lock(mutex_);
    auto node = handles_.extract(id);
    return node ? std::move(node.mapped()) : nullptr;
  }
  size_t size() const {
    MutexLock lock(mutex_);
    return handles_.size();
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<HandleId, std::shared_ptr<Handle>> handles_ TCIAFS_GUARDED_BY(mutex_);
  HandleId next_id_ TCIAFS_GUARDED_BY(mutex_) = 1;
};

class FileHandle {
 public:
  FileHandle(NodeId of_node, std::shared_ptr<cache::InstanceFile> file)
      : node(of_node), file_(std::move(file)) {}

  const NodeId node;

  std::shared_ptr<cache::InstanceFile> file() const {
    MutexLock lock(mutex_);
    return file_;
  }
  // By another copy of the same bytes.
  void Replace(std::shared_ptr<cache::InstanceFile> file) {
    MutexLock lock(mutex_);
    file_.swap(file);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<cache::InstanceFile> file_ TCIAFS_GUARDED_BY(mutex_);
};

class DirectoryHandle {
 public:
  DirectoryHandle(const NodeCopy& directory, catalog::ListAnswer list)
      : node(directory.id),
        inode(directory.inode),
        parent_inode(directory.parent_inode),
        path(directory.path),
        answer(std::move(list)) {}

  const NodeId node;
  const uint64_t inode;
  const uint64_t parent_inode;
  const catalog::ObjectPath path;
  const catalog::ListAnswer answer;

  std::shared_ptr<const SeriesSnapshot> snapshot() const {
    MutexLock lock(mutex_);
    return snapshot_;
  }
  void set_snapshot(std::shared_ptr<const SeriesSnapshot> snapshot) {
    MutexLock lock(mutex_);
    snapshot_.swap(snapshot);
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const SeriesSnapshot> snapshot_ TCIAFS_GUARDED_BY(mutex_);  // of a series
};

}  // namespace tciafs::vfs
