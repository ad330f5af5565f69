// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A block cache in memory: instances are memfds, nothing is evicted unless asked. Keeps the
// contract of cache::BlockCache (one writer per series, nothing visible before Publish, versions)
// and counts breaches of its threading rules. Failures are scripted. Thread-safe.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::testing {

class FakeBlockCache final : public cache::BlockCache {
 public:
  // Scripts.
  void FailBegin(std::optional<Error> error) {
    MutexLock lock(mutex_);
    begin_error_ = std::move(error);
  }
  void BusyTimes(int times) {
    MutexLock lock(mutex_);
    busy_times_ = times;
  }
  void SpaceLeft(int64_t bytes) { space_left_bytes_ = bytes; }
  void Put(const cache::SeriesKey& key, const source::SeriesVersion& version,
           const source::SopUid& sop, std::string_view bytes, const std::string& md5_hex = "") {
    auto file = std::make_shared<File>();
    file->Append(AsBytes(bytes));
    file->md5 = md5_hex;
    MutexLock lock(mutex_);
    auto& series = series_[key];
    series.version = version;
    Store(series, sop, file);
  }

  // Observations.
  int breaches() const { return breaches_; }  // of "one thread at a time", "one writer"
  int begun() const { return begun_; }
  int open_writers() const { return writers_; }
  std::vector<size_t> appended_sizes() const {  // of all instances, in order
    MutexLock lock(mutex_);
    return appended_sizes_;
  }
  std::string Text(const cache::SeriesKey& key, const source::SopUid& sop) const {
    MutexLock lock(mutex_);
    const auto series = series_.find(key);
    if (series == series_.end()) return {};
    const auto file = series->second.files.find(sop);
    return file == series->second.files.end() ? std::string() : file->second->Text();
  }

  Result<std::shared_ptr<cache::InstanceFile>> Open(const cache::SeriesKey& key,
                                                    const source::SeriesVersion& version,
                                                    const source::SopUid& sop) override {
    MutexLock lock(mutex_);
    const auto series = series_.find(key);
    if (series == series_.end() || !source::SameVersion(series->second.version, version))
      return Fail(Errc::kNotFound, "not cached");
    const auto file = series->second.files.find(sop);
    if (file == series->second.files.end()) return Fail(Errc::kNotFound, "not cached");
    return file->second;
  }
  std::vector<cache::KnownInstance> Known(const cache::SeriesKey& key,
                                          const source::SeriesVersion& version) const override {
    MutexLock lock(mutex_);
    std::vector<cache::KnownInstance> all;
    const auto series = series_.find(key);
    if (series == series_.end() || !source::SameVersion(series->second.version, version))
      return all;
    for (const auto& [sop, known] : series->second.known) all.push_back(known);
    return all;
  }
  std::optional<cache::KnownInstance> Known(const cache::SeriesKey& key,
                                            const source::SeriesVersion& version,
                                            const source::SopUid& sop) const override {
    for (auto& known : Known(key, version))
      if (known.sop == sop) return std::move(known);
    return std::nullopt;
  }
  Result<std::unique_ptr<cache::SeriesWriter>> BeginSeries(const cache::SeriesPlan& plan) override {
    MutexLock lock(mutex_);
    if (begin_error_) return Fail(*begin_error_);
    if (busy_times_ > 0) {
      --busy_times_;
      return Fail(Errc::kBusy, "the series is being written");
    }
    auto& series = series_[plan.key];
    if (series.writing) {
      ++breaches_;
      return Fail(Errc::kBusy, "the series is being written");
    }
    if (!source::SameVersion(series.version, plan.version)) series = Series();
    series.version = plan.version;
    series.writing = true;
    ++begun_;
    ++writers_;
    return std::unique_ptr<cache::SeriesWriter>(std::make_unique<Writer>(*this, plan.key));
  }
  bool Verified(const cache::SeriesKey& key, const source::SeriesVersion& version) const override {
    MutexLock lock(mutex_);
    const auto series = series_.find(key);
    return series != series_.end() && series->second.verified &&
           source::SameVersion(series->second.version, version);
  }
  Status Pin(const cache::SeriesKey& key, bool pinned) override {
    return Pin(std::vector{cache::SeriesPlan{key, {}}}, pinned);
  }
  Status Pin(const std::vector<cache::SeriesPlan>& plans, bool pinned) override {
    MutexLock lock(mutex_);
    for (const auto& plan : plans) {
      if (pinned)
        pinned_.insert(plan.key);
      else
        pinned_.erase(plan.key);
    }
    return {};
  }
  bool Pinned(const cache::SeriesKey& key) const override {
    MutexLock lock(mutex_);
    return pinned_.contains(key);
  }
  // What the test says; what the series need is their announced sizes.
  void set_room(const cache::RoomFor& room) {
    MutexLock lock(mutex_);
    room_ = room;
  }
  cache::RoomFor CheckRoom(const std::vector<cache::SeriesPlan>& wanted) const override {
    MutexLock lock(mutex_);
    cache::RoomFor room = room_;
    for (const auto& plan : wanted) {
      const auto series = series_.find(plan.key);
      const bool here = series != series_.end() && series->second.verified;
      if (!here) room.needed_bytes += std::max<int64_t>(plan.version.total_bytes, 0);
    }
    return room;
  }
  Status Evict(const cache::SeriesKey& key) override {
    MutexLock lock(mutex_);
    const auto series = series_.find(key);
    if (series == series_.end()) return {};
    series->second.files.clear();
    series->second.verified = false;
    for (auto& [sop, known] : series->second.known) known.cached = false;
    return {};
  }
  std::vector<cache::CachedSeries> Cached() const override {
    MutexLock lock(mutex_);
    std::vector<cache::CachedSeries> all;
    for (const auto& [key, series] : series_) {
      if (series.files.empty() && !pinned_.contains(key)) continue;
      cache::CachedSeries& cached = all.emplace_back();
      cached.key = key;
      cached.version = series.version;
      cached.instances = static_cast<int64_t>(series.files.size());
      cached.verified = series.verified;
      cached.pinned = pinned_.contains(key);
      cached.in_use = series.writing;
    }
    return all;
  }
  Status CheckIntact(const cache::SeriesKey& key, const source::SopUid& sop,
                     const std::stop_token&) override {
    MutexLock lock(mutex_);
    const auto series = series_.find(key);
    if (series == series_.end() || !series->second.files.contains(sop))
      return Fail(Errc::kNotFound, "not cached");
    return {};
  }
  cache::Usage usage() const override {
    MutexLock lock(mutex_);
    cache::Usage usage;
    usage.series = static_cast<int64_t>(series_.size());
    for (const auto& [key, series] : series_)
      usage.instances += static_cast<int64_t>(series.files.size());
    return usage;
  }

 private:
  struct File final : cache::InstanceFile {
    UniqueFd fd{::memfd_create("tciafs-test", MFD_CLOEXEC)};
    int64_t size = 0;
    std::string md5;
    std::atomic<bool> withdrawn = false;

    void Append(ByteView bytes) {
      if (::write(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()))
        size += static_cast<int64_t>(bytes.size());
    }
    std::string Text() const {
      std::string text(static_cast<size_t>(size), '\0');
      return ::pread(fd.get(), text.data(), text.size(), 0) == size ? text : std::string();
    }
    int64_t size_bytes() const override { return size; }
    std::string md5_hex() const override { return md5; }
    Result<cache::FileRange> Read(int64_t offset, int64_t size_bytes) override {
      if (withdrawn) return Fail(Errc::kCorrupt, "withdrawn");
      const int64_t begin = std::clamp<int64_t>(offset, 0, size);
      return cache::FileRange{fd.get(), begin, std::min(size_bytes, size - begin)};
    }
    Result<int> WholeFile(int64_t) override {
      return Fail(Errc::kUnsupported, "nobody here reads by himself");
    }
  };
  struct Series {
    source::SeriesVersion version;
    std::map<source::SopUid, std::shared_ptr<File>> files;
    std::map<source::SopUid, cache::KnownInstance> known;
    bool verified = false;
    bool writing = false;
  };

  // Counts a breach when two threads are inside at once.
  class Alone {
   public:
    Alone(std::atomic<int>& inside, std::atomic<int>& breaches) : inside_(inside) {
      if (++inside_ > 1) ++breaches;
    }
    ~Alone() { --inside_; }

   private:
    std::atomic<int>& inside_;
  };

  class InstanceWriting final : public cache::InstanceWriter {
   public:
    InstanceWriting(FakeBlockCache& owner, cache::SeriesKey key, source::SopUid sop,
                    std::shared_ptr<std::atomic<int>> inside)
        : owner_(owner), key_(std::move(key)), sop_(std::move(sop)), inside_(std::move(inside)) {}
    Status Append(ByteView bytes) override {
      const Alone alone(*inside_, owner_.breaches_);
      const auto count = static_cast<int64_t>(bytes.size());
      if (owner_.space_left_bytes_.fetch_sub(count) < count)
        return Fail(Errc::kNoSpace, "the cache is full");
      file_->Append(bytes);
      MutexLock lock(owner_.mutex_);
      owner_.appended_sizes_.push_back(bytes.size());
      return {};
    }
    Result<std::shared_ptr<cache::InstanceFile>> Publish(const std::string& md5_hex) override {
      const Alone alone(*inside_, owner_.breaches_);
      file_->md5 = md5_hex;
      MutexLock lock(owner_.mutex_);
      Store(owner_.series_[key_], sop_, file_);
      return std::shared_ptr<cache::InstanceFile>(file_);
    }

   private:
    FakeBlockCache& owner_;
    const cache::SeriesKey key_;
    const source::SopUid sop_;
    const std::shared_ptr<std::atomic<int>> inside_;
    const std::shared_ptr<File> file_ = std::make_shared<File>();
  };

  class Writer final : public cache::SeriesWriter {
   public:
    Writer(FakeBlockCache& owner, cache::SeriesKey key) : owner_(owner), key_(std::move(key)) {}
    ~Writer() override {
      MutexLock lock(owner_.mutex_);
      owner_.series_[key_].writing = false;
      --owner_.writers_;
    }
    Result<std::unique_ptr<cache::InstanceWriter>> BeginInstance(
        const source::SopUid& sop) override {
      const Alone alone(*inside_, owner_.breaches_);
      return std::unique_ptr<cache::InstanceWriter>(
          std::make_unique<InstanceWriting>(owner_, key_, sop, inside_));
    }
    Status Withdraw(const source::SopUid& sop) override {
      const Alone alone(*inside_, owner_.breaches_);
      MutexLock lock(owner_.mutex_);
      auto& series = owner_.series_[key_];
      const auto file = series.files.find(sop);
      if (file == series.files.end()) return Fail(Errc::kNotFound, "not published");
      file->second->withdrawn = true;
      series.files.erase(file);
      series.known.erase(sop);
      return {};
    }
    Status MarkVerified() override {
      const Alone alone(*inside_, owner_.breaches_);
      MutexLock lock(owner_.mutex_);
      owner_.series_[key_].verified = true;
      return {};
    }

   private:
    FakeBlockCache& owner_;
    const cache::SeriesKey key_;
    const std::shared_ptr<std::atomic<int>> inside_ = std::make_shared<std::atomic<int>>(0);
  };

  static void Store(Series& series, const source::SopUid& sop, const std::shared_ptr<File>& file) {
    series.files[sop] = file;
    series.known[sop] = cache::KnownInstance{sop, file->size, file->md5, true};
  }

  mutable Mutex mutex_;
  std::map<cache::SeriesKey, Series> series_ TCIAFS_GUARDED_BY(mutex_);
  std::set<cache::SeriesKey> pinned_ TCIAFS_GUARDED_BY(mutex_);
  cache::RoomFor room_ TCIAFS_GUARDED_BY(mutex_) = {.room_bytes = int64_t{1} << 40};
  std::optional<Error> begin_error_ TCIAFS_GUARDED_BY(mutex_);
  int busy_times_ TCIAFS_GUARDED_BY(mutex_) = 0;
  std::vector<size_t> appended_sizes_ TCIAFS_GUARDED_BY(mutex_);
  std::atomic<int64_t> space_left_bytes_ = int64_t{1} << 40;
  std::atomic<int> breaches_ = 0;
  std::atomic<int> begun_ = 0;
  std::atomic<int> writers_ = 0;
};

}  // namespace tciafs::testing
