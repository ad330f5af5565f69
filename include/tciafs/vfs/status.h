// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a mount tells of itself: for /.tcia/status.json and for the commands that ask it. Plain
// values, a moment's copy. Times are unix milliseconds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/fetch/fetcher.h"
#include "tciafs/util/result.h"

namespace tciafs::vfs {

// An operation that failed because of the archive or of this machine.
struct RecentError {
  int64_t last_unix_ms = 0;
  std::string path;
  Error error;
  int64_t count = 1;  // of the same failure of the same path
};

struct MountStatus {
  std::string version;
  std::string mountpoint;  // "" if nobody said
  bool offline = false;
  int64_t unix_ms = 0;  // now
  int64_t uptime_ms = 0;
  std::vector<catalog::ServerHealth> servers;
  std::vector<fetch::DownloadStatus> downloads;
  cache::Usage cache;
  int64_t cache_hits = 0;  // openings of instances
  int64_t cache_misses = 0;
  int64_t reads = 0;                       // of instances, those the kernel asked for
  std::vector<RecentError> recent_errors;  // newest first
};

catalog::ObjectPath PathOfDownload(const fetch::DownloadStatus& download);

// "2026-01-31T12:00:00.000Z"
std::string UtcText(int64_t unix_ms);

}  // namespace tciafs::vfs
