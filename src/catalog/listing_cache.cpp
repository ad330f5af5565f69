// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/listing_cache.h"

#include <utility>

namespace tciafs::catalog {
namespace {

constexpr size_t kListingOverheadBytes = 256;

size_t SizeOf(const Listing& listing) {
  size_t bytes = kListingOverheadBytes + listing.entries.capacity() * sizeof(Entry);
  for (const auto& entry : listing.entries)
    if (entry.name.size() >= sizeof(std::string) / 2) bytes += entry.name.capacity();
  return bytes;
}

}  // namespace

std::optional<StoredListing> ListingCache::Find(const DirectoryKey& key) {
  MutexLock lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  kept_.splice(kept_.begin(), kept_, found->second);
  return found->second->listing;
}

uint64_t ListingCache::epoch() const {
  MutexLock lock(mutex_);
  return epoch_;
}

void ListingCache::Insert(const DirectoryKey& key, const StoredListing& listing, uint64_t epoch) {
  const size_t bytes = SizeOf(*listing.listing);
  if (bytes > bytes_max_) return;
  std::list<Kept> dropped;  // freed outside the lock
  MutexLock lock(mutex_);
  if (epoch != epoch_ || by_key_.contains(key)) return;
  kept_.push_front({key, listing, bytes});
  by_key_.emplace(key, kept_.begin());
  size_bytes_ += bytes;
  while (size_bytes_ > bytes_max_) {
    size_bytes_ -= kept_.back().size_bytes;
    by_key_.erase(kept_.back().key);
    dropped.splice(dropped.begin(), kept_, std::prev(kept_.end()));
  }
}

void ListingCache::Forget(const std::vector<DirectoryKey>& keys) {
  std::list<Kept> dropped;
  MutexLock lock(mutex_);
  ++epoch_;
  for (const auto& key : keys) {
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) continue;
    size_bytes_ -= found->second->size_bytes;
    dropped.splice(dropped.begin(), kept_, found->second);
    by_key_.erase(found);
  }
}

}  // namespace tciafs::catalog
