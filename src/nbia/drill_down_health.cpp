// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/drill_down_health.h"

#include "nbia/limits.h"

namespace tciafs::nbia {

bool DrillDownHealth::usable(DrillDownCall call) const {
  MutexLock lock(mutex_);
  const State& state = states_[static_cast<size_t>(call)];
  return !state.missing || clock_.MonotonicMs() >= state.retry_ms;
}

void DrillDownHealth::Worked(DrillDownCall call) {
  MutexLock lock(mutex_);
  states_[static_cast<size_t>(call)] = {};
}

void DrillDownHealth::Failed(DrillDownCall call, const Refusal& refusal) {
  if (refusal.error.code == Errc::kCancelled || refusal.error.code == Errc::kOffline) return;
  MutexLock lock(mutex_);
  State& state = states_[static_cast<size_t>(call)];
  const bool not_there =
      refusal.no_such_path || refusal.token_refused || refusal.error.code == Errc::kUnsupported;
  if (!not_there && ++state.failures < kFormFailuresMax) return;
  state = {0, true, clock_.MonotonicMs() + kFormRetryMs};
}

}  // namespace tciafs::nbia
