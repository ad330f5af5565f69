// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which of the undocumented drill-down calls a server has. One that is not there, or that failed
// several listings in a row, is left alone for an hour and then tried again. Thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "nbia/answers.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"

namespace tciafs::nbia {

enum class DrillDownCall {
  kStudies,           // getStudyDrillDownWithSeriesIds: series UIDs to database keys
  kPatientSearch,     // v4/getSimpleSearch: the same by patient or collection
  kImagesV4,          // v4/getImageDrillDown: keys to instances with sizes
  kImagesUnversioned  // getImageDrillDown
};
inline constexpr size_t kDrillDownCalls = 4;

class DrillDownHealth {
 public:
  explicit DrillDownHealth(const Clock& clock) : clock_(clock) {}

  bool usable(DrillDownCall call) const;
  void Worked(DrillDownCall call);
  void Failed(DrillDownCall call, const Refusal& refusal);

 private:
  struct State {
    int failures = 0;
    bool missing = false;
    int64_t retry_ms = 0;  // monotonic; only if missing
  };
  const Clock& clock_;
  mutable Mutex mutex_;
  std::array<State, kDrillDownCalls> states_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::nbia
