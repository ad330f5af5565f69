// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/recent_errors.h"

#include <algorithm>
#include <utility>

#include "vfs/limits.h"

namespace tciafs::vfs {

bool RecentErrors::IsWorthTelling(Errc code) {
  switch (code) {
    case Errc::kPermission:
    case Errc::kUnauthenticated:
    case Errc::kTimedOut:
    case Errc::kUnavailable:
    case Errc::kThrottled:
    case Errc::kUnreachable:
    case Errc::kOffline:
    case Errc::kCorrupt:
    case Errc::kNoSpace:
    case Errc::kBusy:
    case Errc::kInternal:
      return true;
    default:
      return false;
  }
}

void RecentErrors::Note(int64_t unix_ms, std::string path, const Error& error) {
  counters_.Count(0, error.code);
  RecentError noted{unix_ms, std::move(path), error, 1};
  noted.path.resize(std::min(noted.path.size(), kErrorTextBytesMax));
  noted.error.message.resize(std::min(noted.error.message.size(), kErrorTextBytesMax));
  MutexLock lock(mutex_);
  const auto same = std::find_if(errors_.begin(), errors_.end(), [&](const RecentError& known) {
    return known.path == noted.path && known.error.code == noted.error.code;
  });
  if (same != errors_.end()) {
    noted.count += same->count;
    errors_.erase(same);
  }
  errors_.push_front(std::move(noted));
  if (errors_.size() > kRecentErrorsMax) errors_.pop_back();
}

std::vector<RecentError> RecentErrors::Get() const {
  MutexLock lock(mutex_);
  return {errors_.begin(), errors_.end()};
}

}  // namespace tciafs::vfs
