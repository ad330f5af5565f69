// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How much one drill-down request may ask of a server: what its proxy lets through, or less where
// it took too long to answer. A lower limit is forgotten after an hour. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nbia/limits.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"

namespace tciafs::nbia {

struct BatchLimit {
  size_t series = kSeriesKeysMax;
  int64_t images = kImagesPerRequestMax;
};

class BatchLimits {
 public:
  explicit BatchLimits(const Clock& clock) : clock_(clock) {}

  BatchLimit current() const;
  // A request for so many series timed out; `images`: of how many images, -1 if that is not known.
  void TimedOut(size_t series, int64_t images);

 private:
  const Clock& clock_;
  mutable Mutex mutex_;
  BatchLimit limit_ TCIAFS_GUARDED_BY(mutex_);
  int64_t forget_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;  // monotonic
};

}  // namespace tciafs::nbia
