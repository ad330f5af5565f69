// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which process serves which mountpoint, kept in a small file per mount in a directory of the
// user's own, beside the socket over which that process is talked to (tciafs/control/channel.h). A
// record of a process that has gone, or whose number another process now has, reads as none.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"

namespace tciafs::cli {

// Written by the daemon for itself; removed when the object goes.
class RuntimeRecord {
 public:
  static Outcome<RuntimeRecord> Write(const std::string& mountpoint, const std::string& cache_dir,
                                      const Caller& caller);
  std::string socket_path() const { return SocketPathBeside(path_); }

  RuntimeRecord(RuntimeRecord&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  RuntimeRecord& operator=(RuntimeRecord&&) = delete;
  ~RuntimeRecord();

 private:
  static std::string SocketPathBeside(const std::string& record_path);
  explicit RuntimeRecord(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct MountRecord {
  pid_t pid = 0;
  std::string mountpoint;
  std::string cache_dir;
  std::string socket_path;
};

// The record of the mount of `owner_uid`'s there, if its process is alive and the caller may know.
std::optional<MountRecord> FindRecord(const std::string& mountpoint, uint32_t owner_uid,
                                      const Caller& caller);

// Those of the caller's own mounts that are alive.
std::vector<MountRecord> FindRecords(const Caller& caller);

// The caller's own mount that uses this cache directory.
std::optional<MountRecord> FindRecordOfCache(const std::string& cache_dir, const Caller& caller);

// Whether two paths name one directory.
bool IsSameDirectory(const std::string& a, const std::string& b);

}  // namespace tciafs::cli
