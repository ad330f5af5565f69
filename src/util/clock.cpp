// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/util/clock.h"

#include <chrono>

namespace tciafs {
namespace {
template <typename SomeClock>
int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SomeClock::now().time_since_epoch())
      .count();
}
}  // namespace

int64_t SystemClock::MonotonicMs() const { return NowMs<std::chrono::steady_clock>(); }
int64_t SystemClock::UnixMs() const { return NowMs<std::chrono::system_clock>(); }

}  // namespace tciafs
