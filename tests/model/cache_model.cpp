// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "model/cache_model.h"

#include <array>

#include "cache/disk.h"
#include "tciafs/util/hash.h"
#include "unit/cache/cache_fixture.h"

namespace tciafs::model {
namespace {

std::string SeedOf(int series, int version, const std::string& sop) {
  return std::to_string(series) + "/" + std::to_string(version) + "/" + sop;
}

}  // namespace

// The same UIDs under two accounts.
cache::SeriesKey KeyOf(int series) {
  return {series % 2 == 0 ? "server|guest" : "server|member",
          source::SeriesUid("1.2." + std::to_string(series / 2))};
}

source::SeriesVersion VersionOf(int series, int version, bool announced) {
  source::SeriesVersion told;
  told.timestamp = "2020-01-0" + std::to_string(version + 1);
  if (!announced && version != kHugeVersion) return told;
  told.timestamp += "T10:00:00";
  told.image_count = kInstances;
  told.total_bytes = 0;
  for (int i = 0; i < kInstances; ++i) told.total_bytes += SizeOf(series, version, SopOf(i));
  if (version == kHugeVersion) told.total_bytes = int64_t{1} << 30;
  return told;
}

std::string SopOf(int instance) { return "1.9." + std::to_string(instance); }
std::string SmallSopOf(int number) { return "1.8." + std::to_string(number); }

int64_t SizeOf(int series, int version, const std::string& sop) {
  constexpr std::array<int64_t, 7> kSizes = {5'000, 1, 4'096, 1 << 20, (1 << 20) + 1, 2'500'000, 0};
  if (sop.starts_with("1.8.")) return 100 + std::stoi(sop.substr(4));
  const int instance = std::stoi(sop.substr(4));
  // The first is as long in every version: what was replaced cannot be told by its size.
  if (instance == 0) return 70'000;
  return kSizes[static_cast<size_t>(series + 2 * version + instance) % kSizes.size()];
}

std::string BytesOf(int series, int version, const std::string& sop) {
  const auto bytes =
      cache::PatternBytes(SeedOf(series, version, sop), SizeOf(series, version, sop));
  return std::string(AsText(bytes));
}

std::string Md5Of(int series, int version, const std::string& sop) {
  Md5 md5;  // any 32 digits do: the cache only keeps them
  md5.Update(AsBytes(SeedOf(series, version, sop)));
  return md5.FinishHex();
}

int64_t ModelSeries::DiskBytes() const {
  int64_t bytes = 0;
  int64_t count = 0;
  for (const auto& [sop, instance] : instances) {
    if (!instance.cached) continue;
    bytes += cache::OnDiskBytes(instance.size_bytes);
    ++count;
  }
  return count == 0 ? 0 : bytes + cache::DirectoryBytes(count);
}

}  // namespace tciafs::model
