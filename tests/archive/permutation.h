// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A permutation of 0..count-1 that needs no memory, i -> (a*i + b) mod count, so that a listing of
// millions can come in another order on each request. Order 0 is the identity. A value;
// thread-safe.
#pragma once

#include <cstdint>
#include <numeric>

namespace tciafs::archive {

class Permutation {
 public:
  Permutation(int64_t count, uint64_t order) : count_(static_cast<uint64_t>(count)) {
    if (order == 0 || count < 2) return;
    uint64_t factor = order * 0x9e3779b97f4a7c15U >> 33;
    do {
      factor = factor % count_ + 1;
    } while (std::gcd(factor, count_) != 1);
    factor_ = factor;
    shift_ = order % count_;
  }
  int64_t At(int64_t i) const {
    return static_cast<int64_t>((factor_ * static_cast<uint64_t>(i) + shift_) % count_);
  }

 private:
  uint64_t count_;
  uint64_t factor_ = 1;
  uint64_t shift_ = 0;
};

}  // namespace tciafs::archive
