// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The smallest block cache: instances in memory files, put there by the test. Thread-safe.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::testing {

inline std::string Md5Of(const std::string& text) {
  Md5 md5;
  md5.Update(AsBytes(text));
  return md5.FinishHex();
}

class MemoryFile final : public cache::InstanceFile {
 public:
  explicit MemoryFile(const std::string& bytes, bool with_md5 = true)
      : fd_(::memfd_create("instance", 0)),
        size_bytes_(static_cast<int64_t>(bytes.size())),
        md5_hex_(with_md5 ? Md5Of(bytes) : "") {
    if (::pwrite(fd_.get(), bytes.data(), bytes.size(), 0) != size_bytes_) fd_.Reset();
  }
  std::atomic<bool> corrupt = false;
  std::atomic<int64_t> unverified_bytes = 0;
  std::atomic<bool> series_verified = true;

  int64_t size_bytes() const override { return size_bytes_; }
  std::string md5_hex() const override { return md5_hex_; }
  Result<cache::FileRange> Read(int64_t offset, int64_t size_bytes) override {
    if (corrupt) return Fail(Errc::kCorrupt, "a block is bad");
    return cache::FileRange{fd_.get(), offset,
                            std::clamp<int64_t>(size_bytes_ - offset, 0, size_bytes)};
  }
  Result<int> WholeFile(int64_t unverified_bytes_max) override {
    if (!series_verified || unverified_bytes > unverified_bytes_max)
      return Fail(Errc::kUnsupported, "not verified");
    if (corrupt) return Fail(Errc::kCorrupt, "a block is bad");
    return fd_.get();
  }

 private:
  UniqueFd fd_;
  const int64_t size_bytes_;
  const std::string md5_hex_;
};

class MemoryCache final : public cache::BlockCache {
 public:
  std::atomic<int> series_known = 0;    // calls of Known for a whole series
  std::atomic<int> instance_known = 0;  // for one instance
  cache::Usage usage_now;

  void Put(const cache::SeriesKey& key, const source::SeriesVersion& version,
           const source::SopUid& sop, std::shared_ptr<cache::InstanceFile> file) {
    std::lock_guard lock(mutex_);
    instances_[{key, sop}] = {version, file->size_bytes(), file->md5_hex(), std::move(file)};
  }
  // The bytes go, what is known stays.
  void Drop(const cache::SeriesKey& key, const source::SopUid& sop) {
    std::lock_guard lock(mutex_);
    instances_[{key, sop}].file = nullptr;
  }

  Result<std::shared_ptr<cache::InstanceFile>> Open(const cache::SeriesKey& key,
                                                    const source::SeriesVersion& version,
                                                    const source::SopUid& sop) override {
    std::lock_guard lock(mutex_);
    const auto found = instances_.find({key, sop});
    if (found == instances_.end() || found->second.file == nullptr ||
        !source::SameVersion(found->second.version, version))
      return Fail(Errc::kNotFound, "not cached");
    return found->second.file;
  }
  std::vector<cache::KnownInstance> Known(const cache::SeriesKey& key,
                                          const source::SeriesVersion& version) const override {
    ++const_cast<MemoryCache*>(this)->series_known;
    std::lock_guard lock(mutex_);
    std::vector<cache::KnownInstance> known;
    for (const auto& [of, instance] : instances_)
      if (of.first == key && source::SameVersion(instance.version, version))
        known.push_back(instance.AsKnown(of.second));
    return known;
  }
  std::optional<cache::KnownInstance> Known(const cache::SeriesKey& key,
                                            const source::SeriesVersion& version,
                                            const source::SopUid& sop) const override {
    ++const_cast<MemoryCache*>(this)->instance_known;
    std::lock_guard lock(mutex_);
    const auto found = instances_.find({key, sop});
    if (found == instances_.end() || !source::SameVersion(found->second.version, version))
      return std::nullopt;
    return found->second.AsKnown(sop);
  }
  Result<std::unique_ptr<cache::SeriesWriter>> BeginSeries(const cache::SeriesPlan&) override {
    return Fail(Errc::kUnsupported, "read only");
  }
  bool Verified(const cache::SeriesKey&, const source::SeriesVersion&) const override {
    return false;
  }
  Status Pin(const cache::SeriesKey&, bool) override { return {}; }
  Status Pin(const std::vector<cache::SeriesPlan>&, bool) override { return {}; }
  bool Pinned(const cache::SeriesKey&) const override { return false; }
  cache::RoomFor CheckRoom(const std::vector<cache::SeriesPlan>&) const override { return {}; }
  Status Evict(const cache::SeriesKey&) override { return {}; }
  std::vector<cache::CachedSeries> Cached() const override { return {}; }
  Status CheckIntact(const cache::SeriesKey&, const source::SopUid&,
                     const std::stop_token&) override {
    return {};
  }
  cache::Usage usage() const override { return usage_now; }

 private:
  struct Instance {
    source::SeriesVersion version;
    int64_t size_bytes = 0;
    std::string md5_hex;
    std::shared_ptr<cache::InstanceFile> file;
    cache::KnownInstance AsKnown(const source::SopUid& sop) const {
      return {sop, size_bytes, md5_hex, file != nullptr};
    }
  };
  mutable std::mutex mutex_;
  std::map<std::pair<cache::SeriesKey, source::SopUid>, Instance> instances_;
};

}  // namespace tciafs::testing
