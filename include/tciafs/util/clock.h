// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Time as an injected dependency: nothing else in the project asks the system for it. Thread-safe.
// Monotonic time measures waits and deadlines; wall time is what is stored across mounts.
#pragma once

#include <cstdint>

namespace tciafs {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t MonotonicMs() const = 0;
  virtual int64_t UnixMs() const = 0;
};

class SystemClock final : public Clock {
 public:
  int64_t MonotonicMs() const override;
  int64_t UnixMs() const override;
};

}  // namespace tciafs
