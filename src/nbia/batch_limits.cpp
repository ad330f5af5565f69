// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/batch_limits.h"

#include <algorithm>

namespace tciafs::nbia {

BatchLimit BatchLimits::current() const {
  MutexLock lock(mutex_);
  return clock_.MonotonicMs() < forget_ms_ ? limit_ : BatchLimit();
}

void BatchLimits::TimedOut(size_t series, int64_t images) {
  MutexLock lock(mutex_);
  const int64_t now_ms = clock_.MonotonicMs();
  if (now_ms >= forget_ms_) limit_ = {};
  forget_ms_ = now_ms + kFormRetryMs;
  // It is the images that take the time; their number is the better measure where it is known.
  if (images > 0)
    limit_.images = std::min(limit_.images, std::max<int64_t>(images / 2, 1));
  else
    limit_.series = std::min(limit_.series, std::max<size_t>(series / 2, 1));
}

}  // namespace tciafs::nbia
