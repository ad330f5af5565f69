// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A disk that fails, fills up, or takes the process down when the test says so; otherwise the real
// one.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <utility>

#include "cache/disk.h"
#include "cache/disk_errors.h"

namespace tciafs::cache {

struct Faults {
  std::atomic<bool> creates_fail = false;
  std::atomic<bool> writes_fail = false;
  std::atomic<bool> renames_fail = false;
  std::atomic<bool> directories_fail = false;
  std::atomic<bool> removes_fail = false;
  std::atomic<bool> lists_fail = false;
  std::atomic<int> error_number = EIO;
  std::atomic<int> directory_syncs = 0;
  std::atomic<int> writes_before_failing = 0;
  std::atomic<int> steps_before_exit = -1;  // changes of the disk; -1: never
  std::atomic<int64_t> free_bytes = int64_t{1} << 40;
  std::atomic<int64_t> total_bytes = int64_t{1} << 41;
};

class FaultyDisk final : public Disk {
 public:
  explicit FaultyDisk(Faults& faults) : faults_(faults) {}

  Result<UniqueFd> Create(const std::string& path) override {
    Step();
    if (faults_.creates_fail) return Broken();
    return disk_->Create(path);
  }
  Result<UniqueFd> Open(const std::string& path) override { return disk_->Open(path); }
  Status Write(int fd, int64_t offset, ByteView bytes) override {
    if (Exits() && bytes.size() > 1) {  // a torn write
      (void)disk_->Write(fd, offset, bytes.first(bytes.size() / 2));
      ::_exit(0);
    }
    Step();
    if (faults_.writes_fail && faults_.writes_before_failing-- <= 0) return Broken();
    return disk_->Write(fd, offset, bytes);
  }
  Result<size_t> Read(int fd, int64_t offset, std::span<std::byte> into) override {
    return disk_->Read(fd, offset, into);
  }
  Result<int64_t> Size(int fd) override { return disk_->Size(fd); }
  Status Truncate(int fd, int64_t size_bytes) override {
    Step();
    return disk_->Truncate(fd, size_bytes);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    Step();
    if (faults_.renames_fail) return Broken();
    return disk_->Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    Step();
    if (faults_.removes_fail) return Broken();
    return disk_->Remove(path);
  }
  Result<bool> MakeDirectory(const std::string& path) override {
    Step();
    if (faults_.directories_fail) return Broken();
    return disk_->MakeDirectory(path);
  }
  Status RemoveDirectory(const std::string& path) override {
    Step();
    return disk_->RemoveDirectory(path);
  }
  Status SyncDirectory(const std::string& path) override {
    ++faults_.directory_syncs;
    return disk_->SyncDirectory(path);
  }
  Result<std::vector<DiskEntry>> List(const std::string& path) override {
    if (faults_.lists_fail) return Broken();
    return disk_->List(path);
  }
  Result<DiskSpace> Space(const std::string& /*path*/) override {
    return DiskSpace{faults_.free_bytes, faults_.total_bytes};
  }

 private:
  tl::unexpected<Error> Broken() const { return Fail(DiskError(faults_.error_number, "fault")); }
  bool Exits() const { return faults_.steps_before_exit == 0; }
  void Step() {
    if (Exits()) ::_exit(0);
    if (faults_.steps_before_exit > 0) --faults_.steps_before_exit;
  }

  Faults& faults_;
  const std::unique_ptr<Disk> disk_ = PosixDisk();
};

}  // namespace tciafs::cache
