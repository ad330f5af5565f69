// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How often things of several kinds ended, and how: well, or with which error. Thread-safe;
// counting is one relaxed addition.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tciafs/util/result.h"

namespace tciafs {

template <size_t kKinds>
class OutcomeCounters {
 public:
  void Count(size_t kind, std::optional<Errc> failure) {
    counts_[kind][Place(failure)].fetch_add(1, std::memory_order_relaxed);
  }
  // Calls `each(kind, failure, count)` for what has been counted at all.
  template <typename Each>
  void ForEach(Each each) const {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      for (size_t place = 0; place < kOutcomes; ++place) {
        const int64_t count = counts_[kind][place].load(std::memory_order_relaxed);
        if (count == 0) continue;
        std::optional<Errc> failure;
        if (place > 0) failure = static_cast<Errc>(place - 1);
        each(kind, failure, count);
      }
    }
  }

 private:
  static constexpr size_t kOutcomes = static_cast<size_t>(Errc::kInternal) + 2;
  static size_t Place(std::optional<Errc> failure) {
    return failure ? static_cast<size_t>(*failure) + 1 : 0;
  }
  std::array<std::array<std::atomic<int64_t>, kOutcomes>, kKinds> counts_{};
};

}  // namespace tciafs
