// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the block cache must be like after each operation, as a plain map: which series in which
// version, which instances of it with which bytes, what is pinned, and in which order they were
// used. Plain data. The bytes of an instance follow from its series, version and name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tciafs/cache/block_cache.h"

namespace tciafs::model {

inline constexpr int kSeries = 6;
inline constexpr int kVersions = 3;
inline constexpr int kHugeVersion = kVersions;  // announced larger than any cache
inline constexpr int kInstances = 6;
inline constexpr int kMany = 150;  // small ones beside them

cache::SeriesKey KeyOf(int series);
// With what the archive announces of it, or without.
source::SeriesVersion VersionOf(int series, int version, bool announced);
std::string SopOf(int instance);
std::string SmallSopOf(int number);
int64_t SizeOf(int series, int version, const std::string& sop);
std::string BytesOf(int series, int version, const std::string& sop);
std::string Md5Of(int series, int version, const std::string& sop);

struct ModelInstance {
  int64_t size_bytes = 0;
  std::string md5_hex;
  bool cached = false;
  int64_t incarnation = 0;     // each publication is one
  int64_t damaged_block = -1;  // a bit of it was flipped on the disk
  bool lost = false;           // its file was cut, stretched or removed
  bool doubtful = false;       // this may have happened to it
  bool firm = false;           // on the disk for certain
};

struct ModelSeries {
  int version = -1;  // -1: never begun
  std::map<std::string, ModelInstance> instances;
  bool pinned = false;
  bool verified = false;
  bool announced = false;           // the cache has been told how many there are
  std::set<int> perhaps_announced;  // versions of which it may still know this
  int64_t last_use = 0;             // 0: of an earlier run, in an order nobody knows

  bool Cached() const {
    for (const auto& [sop, instance] : instances)
      if (instance.cached) return true;
    return false;
  }
  int64_t present() const {
    int64_t count = 0;
    for (const auto& [sop, instance] : instances) count += instance.cached ? 1 : 0;
    return count;
  }
  int64_t DiskBytes() const;
  void Uncache() {
    for (auto& [sop, instance] : instances) instance.cached = false;
    verified = false;
  }
};

using ModelState = std::vector<ModelSeries>;

}  // namespace tciafs::model
