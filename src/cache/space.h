// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The arithmetic of the cap and the floor. Bytes are reserved before they are asked for, claimed
// when they are written, released when their file is gone; a reservation is granted only if cap and
// floor hold once all that is reserved has been written. Not thread-safe: its owner locks.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cache/disk.h"

namespace tciafs::cache {

class Space {
 public:
  Space(int64_t cap_bytes, int64_t floor_bytes, int floor_percent)
      : cap_bytes_(cap_bytes), floor_bytes_(floor_bytes), floor_percent_(floor_percent) {}

  int64_t cap_bytes() const { return cap_bytes_; }
  int64_t files_bytes() const { return files_bytes_; }
  int64_t used_bytes() const { return files_bytes_ + index_bytes_; }
  int64_t reserved_bytes() const { return reserved_bytes_; }
  int64_t FloorBytes(const DiskSpace& disk) const {
    return std::max(floor_bytes_, disk.total_bytes / 100 * floor_percent_);
  }
  // Kept free of data so that the index has room to grow between two looks at its size.
  int64_t HeadroomBytes() const { return kHeadroomBytesMin + cap_bytes_ / 256; }
  // The most a single series can take.
  int64_t CapacityBytes() const { return cap_bytes_ - HeadroomBytes() - index_bytes_; }

  // What must go before `bytes` more can come; zero or less: they can.
  int64_t LackingBytes(int64_t bytes, const DiskSpace& disk) const {
    const int64_t over_cap = used_bytes() + reserved_bytes_ + HeadroomBytes() + bytes - cap_bytes_;
    return std::max(over_cap, UnderFloorBytes(reserved_bytes_ + bytes, disk));
  }
  // The same for bytes about to be written, for the floor alone.
  int64_t UnderFloorBytes(int64_t bytes, const DiskSpace& disk) const {
    return FloorBytes(disk) + HeadroomBytes() + bytes - disk.free_bytes;
  }
  void Reserve(int64_t bytes) { reserved_bytes_ += bytes; }
  void Unreserve(int64_t bytes) { reserved_bytes_ -= bytes; }
  void Claim(int64_t bytes) { files_bytes_ += bytes; }
  void Release(int64_t bytes) { files_bytes_ -= bytes; }
  void set_index_bytes(int64_t bytes) { index_bytes_ = bytes; }

 private:
  static constexpr int64_t kHeadroomBytesMin = int64_t{1} << 20;

  const int64_t cap_bytes_;
  const int64_t floor_bytes_;
  const int floor_percent_;
  int64_t files_bytes_ = 0;
  int64_t index_bytes_ = 0;
  int64_t reserved_bytes_ = 0;
};

}  // namespace tciafs::cache
