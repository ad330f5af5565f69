// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The ownership of a cache directory by one process: a flock on its file "lock", held while the
// object lives. The file also tells who holds it and how far the last owner came, so that an index
// whose mere opening kills the process is not opened for ever. Used by one thread at a time.
#pragma once

#include <string>
#include <string_view>

#include "tciafs/util/result.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cache {

class OwnerLock {
 public:
  enum class Stage { kChecking, kRunning, kClosed };

  // kBusy names the process that holds it.
  static Result<OwnerLock> Take(const std::string& path);

  // Whether a file that says this is such a lock.
  static bool IsContent(std::string_view content);

  // Of the owner before: whether it did not end well (nor does a new file tell that it did), and
  // how many in a row died while checking the index.
  bool died_running() const { return died_running_; }
  int died_checking() const { return died_checking_; }
  Status Write(Stage stage);

 private:
  explicit OwnerLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  bool died_running_ = false;
  int died_checking_ = 0;
};

}  // namespace tciafs::cache
