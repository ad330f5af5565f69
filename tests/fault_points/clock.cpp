// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The clock in place of util's: its wall time is off by what the plan says. Monotonic time, by its
// nature, never jumps.
#include "tciafs/util/clock.h"

#include <chrono>

#include "fault_plan.h"

namespace tciafs {
namespace {
template <typename SomeClock>
int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SomeClock::now().time_since_epoch())
      .count();
}
}  // namespace

int64_t SystemClock::MonotonicMs() const { return NowMs<std::chrono::steady_clock>(); }
int64_t SystemClock::UnixMs() const {
  return NowMs<std::chrono::system_clock>() + testing::FaultPlan::OfProcess().ClockOffsetMs();
}

}  // namespace tciafs
