// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A disk for the cache's model: it can fail (the switches of FaultyDisk), tells how much is free,
// and keeps, at a chosen step, a copy of the whole directory, which is what a process killed at
// that step leaves. It also knows which files changed since the last flush: a power cut may take
// those. Not thread-safe.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "unit/cache/faulty_disk.h"

namespace tciafs::model {

struct DiskState {
  explicit DiskState(std::string of) : directory(std::move(of)) {}

  const std::string directory;
  cache::Faults faults;
  int64_t free_bytes = int64_t{1} << 40;  // with an empty cache
  std::function<int64_t()> taken_bytes;   // by the cache, looked at only where that matters
  int steps_before_copy = -1;             // -1: no copy is wanted
  bool copied = false;
  std::set<std::string> unflushed;         // changed since the last flush
  std::set<std::string> unflushed_copied;  // the same when the copy was taken

  std::string copy() const { return directory + ".copy"; }
  void Step() {
    if (steps_before_copy < 0 || steps_before_copy-- > 0) return;
    namespace fs = std::filesystem;
    fs::remove_all(copy());
    fs::copy(directory, copy(), fs::copy_options::recursive);
    unflushed_copied = unflushed;
    copied = true;
  }
};

class ModelDisk final : public cache::Disk {
 public:
  explicit ModelDisk(DiskState& state) : state_(state), disk_(state.faults) {}

  Result<UniqueFd> Create(const std::string& path) override {
    state_.Step();
    auto fd = disk_.Create(path);
    if (fd) Touch(path, fd->get());
    return fd;
  }
  Result<UniqueFd> Open(const std::string& path) override { return disk_.Open(path); }
  Status Write(int fd, int64_t offset, ByteView bytes) override {
    state_.Step();
    if (paths_.count(fd) != 0) state_.unflushed.insert(paths_[fd]);
    return disk_.Write(fd, offset, bytes);
  }
  Result<size_t> Read(int fd, int64_t offset, std::span<std::byte> into) override {
    return disk_.Read(fd, offset, into);
  }
  Result<int64_t> Size(int fd) override { return disk_.Size(fd); }
  Status Truncate(int fd, int64_t size_bytes) override {
    state_.Step();
    return disk_.Truncate(fd, size_bytes);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    state_.Step();
    Status status = disk_.Rename(from, to);
    if (!status) return status;
    if (state_.unflushed.erase(from) != 0) state_.unflushed.insert(to);
    for (auto& [fd, path] : paths_)
      if (path == from) path = to;
    return status;
  }
  Status Remove(const std::string& path) override {
    state_.Step();
    Status status = disk_.Remove(path);
    if (status) state_.unflushed.erase(path);
    return status;
  }
  Result<bool> MakeDirectory(const std::string& path) override {
    state_.Step();
    return disk_.MakeDirectory(path);
  }
  Status RemoveDirectory(const std::string& path) override {
    state_.Step();
    return disk_.RemoveDirectory(path);
  }
  Status SyncDirectory(const std::string& path) override {
    state_.Step();
    return disk_.SyncDirectory(path);
  }
  Result<std::vector<cache::DiskEntry>> List(const std::string& path) override {
    return disk_.List(path);
  }
  Result<cache::DiskSpace> Space(const std::string& /*path*/) override {
    constexpr int64_t kPlenty = int64_t{1} << 30;
    const int64_t taken = state_.free_bytes < kPlenty ? state_.taken_bytes() : 0;
    return cache::DiskSpace{state_.free_bytes - taken, int64_t{1} << 41};
  }

 private:
  void Touch(const std::string& path, int fd) {
    paths_[fd] = path;
    state_.unflushed.insert(path);
  }

  DiskState& state_;
  cache::FaultyDisk disk_;
  std::map<int, std::string> paths_;  // by descriptor; a number used again is another file
};

}  // namespace tciafs::model
