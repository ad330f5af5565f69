// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How the commands that look after a cache reach it: through the mount that uses it or, where none
// does, by opening it in this process, which then answers the same requests in the same way. Not
// thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/archive_stack.h"
#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "cli/runtime_state.h"
#include "tciafs/control/channel.h"

namespace tciafs::cli {

class CacheAccess {
 public:
  enum class Purpose {
    kUpkeep,  // what is there stays as it is, and no archive is asked
    kFill,    // as a mount with these settings would open it
  };
  // "": the one that settings name or, without any, that the caller's mounts use (which is told on
  // standard error where it is not the usual one) or else a mount would use. kUsage: they use
  // several. kCache: there is no cache, or it cannot be opened.
  static Outcome<CacheAccess> Open(const std::string& cache_dir, const Caller& caller,
                                   Purpose purpose);
  // That of a mount, by a path in it.
  static CacheAccess Through(MountRecord record);

  CacheAccess(CacheAccess&&) noexcept = default;
  CacheAccess& operator=(CacheAccess&&) = delete;
  ~CacheAccess();

  // One for each request. kFailed: the mount has gone meanwhile.
  Outcome<control::Connection> Connect() const;
  // Asks and waits; an interruption ends the request, and is told as kInterrupted.
  Outcome<void> Ask(const control::Message& request,
                    const std::function<void(const control::Message&)>& on_answer) const;

  const std::string& directory() const { return directory_; }
  // Nothing: it is open in this process.
  const std::optional<MountRecord>& mount() const { return mount_; }

 private:
  CacheAccess() = default;
  Outcome<void> OpenHere(const MountSettings& settings, const Caller& caller);

  std::string directory_;
  std::optional<MountRecord> mount_;
  std::string socket_path_;
  std::string socket_directory_;  // of ours, to be removed
  std::unique_ptr<ArchiveStack> stack_;
  std::unique_ptr<control::Server> server_;
};

// The version the cache in a directory was written in. kCache: it is no cache.
Outcome<int> CacheFormat(const std::string& cache_dir);

}  // namespace tciafs::cli
