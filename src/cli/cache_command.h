// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// `tciafs cache ...`: what looks after the cache, with a mount that uses it and without one.
// Results go to standard output, what went wrong in one line to standard error.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"

namespace tciafs::cli {

struct CacheArguments {
  std::string cache_dir;          // "": what a mount without the option would use
  std::vector<std::string> what;  // paths in a mount, or in the tree; series UIDs; "all"
  bool json = false;
  bool pinned = false;
  bool keep_pinned = false;
  bool yes = false;
  std::string older_than;
  std::string to;
  std::string collection;  // of what is imported
};

// Whether it can be the UID of a series.
bool IsUid(const std::string& text);

ExitCode RunCacheInfo(const CacheArguments& arguments, const Caller& caller);
ExitCode RunCacheList(const CacheArguments& arguments, const Caller& caller);
ExitCode RunCacheVerify(const CacheArguments& arguments, const Caller& caller);
ExitCode RunCacheEvict(const CacheArguments& arguments, const Caller& caller);
ExitCode RunCacheClear(const CacheArguments& arguments, const Caller& caller);
ExitCode RunCacheImport(const CacheArguments& arguments, const Caller& caller);

}  // namespace tciafs::cli
