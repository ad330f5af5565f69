// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The listings answered last, decoded, bounded by bytes (least recently used go first), so that
// look-ups in one directory do not read it from the store each time. Thread-safe.
//
// A reader takes the epoch before it reads the store and hands it in with what it read: if anything
// was written meanwhile the listing is not kept, since it may be the one before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <vector>

#include "catalog/directory_store.h"
#include "tciafs/util/mutex.h"

namespace tciafs::catalog {

class ListingCache {
 public:
  explicit ListingCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  std::optional<StoredListing> Find(const DirectoryKey& key);
  uint64_t epoch() const;
  void Insert(const DirectoryKey& key, const StoredListing& listing, uint64_t epoch);
  void Forget(const std::vector<DirectoryKey>& keys);

 private:
  struct Kept {
    DirectoryKey key;
    StoredListing listing;
    size_t size_bytes = 0;
  };

  const size_t bytes_max_;
  mutable Mutex mutex_;
  std::list<Kept> kept_ TCIAFS_GUARDED_BY(mutex_);  // newest first
  std::map<DirectoryKey, std::list<Kept>::iterator> by_key_ TCIAFS_GUARDED_BY(mutex_);
  size_t size_bytes_ TCIAFS_GUARDED_BY(mutex_) = 0;
  uint64_t epoch_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::catalog
