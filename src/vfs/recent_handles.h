// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What takes the place of handles where the kernel does not ask to open what it reads: the files
// and the listings read of late. Thread-safe; the mutexes are leaves. What is found stays alive
// while the caller holds it.
#pragma once

#include <algorithm>
#include <iterator>
#include <limits>
#include <list>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tciafs/util/mutex.h"
#include "vfs/handle_table.h"
#include "vfs/limits.h"

namespace tciafs::vfs {

// The instances read of late by a kernel that opens no files, kept open for the next read: each
// counts as a handle of its node. Bounded, and for a short while, since the cache evicts nothing
// that is open. Thread-safe.
class RecentFiles {
 public:
  using Handles = std::vector<std::shared_ptr<FileHandle>>;

  std::shared_ptr<FileHandle> Find(NodeId node, int64_t now_ms) {
    MutexLock lock(mutex_);
    const auto found = by_node_.find(node);
    if (found == by_node_.end()) return nullptr;
    found->second->used_ms = now_ms;
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->handle;
  }
  // Those that are let go, whose nodes have a handle less: of the same node, too old, too many.
  [[nodiscard]] Handles Add(std::shared_ptr<FileHandle> handle, int64_t now_ms) {
    MutexLock lock(mutex_);
    Handles dropped;
    if (const auto same = by_node_.find(handle->node); same != by_node_.end())
      Drop(same->second, dropped);
    recent_.push_front({std::move(handle), now_ms});
    by_node_.emplace(recent_.front().handle->node, recent_.begin());
    while (recent_.size() > kRecentFilesMax) Drop(std::prev(recent_.end()), dropped);
    return dropped;
  }
  [[nodiscard]] Handles TakeAll() { return TakeOld(std::numeric_limits<int64_t>::max()); }
  [[nodiscard]] Handles TakeOld(int64_t now_ms) {
    MutexLock lock(mutex_);
    Handles dropped;
    while (!recent_.empty() && now_ms - kRecentFileMs >= recent_.back().used_ms)
      Drop(std::prev(recent_.end()), dropped);
    return dropped;
  }

 private:
  struct Recent {
    std::shared_ptr<FileHandle> handle;
    int64_t used_ms = 0;
  };
  void Drop(std::list<Recent>::iterator recent, Handles& dropped) TCIAFS_REQUIRES(mutex_) {
    by_node_.erase(recent->handle->node);
    dropped.push_back(std::move(recent->handle));
    recent_.erase(recent);
  }

  Mutex mutex_;
  std::list<Recent> recent_ TCIAFS_GUARDED_BY(mutex_);  // last used first
  std::unordered_map<NodeId, std::list<Recent>::iterator> by_node_ TCIAFS_GUARDED_BY(mutex_);
};

// The listings read of late by a kernel that opens no directories: each read of it finds the one
// its offset comes from. Bounded; the oldest go. Thread-safe.
class DirectoryReadings {
 public:
  std::shared_ptr<DirectoryHandle> Find(NodeId node, uint64_t offset_base) const {
    MutexLock lock(mutex_);
    for (const Reading& reading : readings_)
      if (reading.handle->node == node && reading.offset_base == offset_base) return reading.handle;
    return nullptr;
  }
  void Put(NodeId node, uint64_t offset_base, std::shared_ptr<DirectoryHandle> handle) {
    std::list<Reading> dropped;  // go without the lock
    MutexLock lock(mutex_);
    const auto same = std::find_if(readings_.begin(), readings_.end(), [&](const Reading& reading) {
      return reading.handle->node == node && reading.offset_base == offset_base;
    });
    if (same != readings_.end()) dropped.splice(dropped.end(), readings_, same);
    readings_.push_front({offset_base, std::move(handle)});
    if (readings_.size() > kDirectoryReadingsMax)
      dropped.splice(dropped.end(), readings_, std::prev(readings_.end()));
  }

 private:
  struct Reading {
    uint64_t offset_base = 0;
    std::shared_ptr<DirectoryHandle> handle;
  };
  mutable Mutex mutex_;
  std::list<Reading> readings_ TCIAFS_GUARDED_BY(mutex_);  // newest first
};

}  // namespace tciafs::vfs
