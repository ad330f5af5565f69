// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which process serves which mountpoint, kept in a small file per mount in a directory of the
// user's own, so that `tciafs umount` knows whose end to wait for. A record of a process that has
// gone, or whose number another process now has, reads as none.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"

namespace tciafs::cli {

// Written by the daemon for itself; removed when the object goes.
class RuntimeRecord {
 public:
  static Outcome<RuntimeRecord> Write(const std::string& mountpoint, const Caller& caller);
  RuntimeRecord(RuntimeRecord&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  RuntimeRecord& operator=(RuntimeRecord&&) = delete;
  ~RuntimeRecord();

 private:
  explicit RuntimeRecord(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// The process of `owner_uid` that serves the mountpoint, if it is alive and the caller may know.
std::optional<pid_t> FindDaemon(const std::string& mountpoint, uint32_t owner_uid,
                                const Caller& caller);

}  // namespace tciafs::cli
