// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/source/records.h"

#include <algorithm>
#include <string_view>

#include "tciafs/source/source.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/hash.h"

namespace tciafs::source {

std::string_view RequestName(RequestKind kind) {
  switch (kind) {
    case RequestKind::kCollections:
      return "collections";
    case RequestKind::kPatients:
      return "patients";
    case RequestKind::kPatientSeries:
      return "patient_series";
    case RequestKind::kCollectionSeries:
      return "collection_series";
    case RequestKind::kInstances:
      return "instances";
    case RequestKind::kSeriesImages:
      return "series_images";
    case RequestKind::kSingleImage:
      return "single_image";
    case RequestKind::kMd5:
      return "md5";
  }
  return "unknown";
}

std::string_view StateName(ServerStatus::State state) {
  switch (state) {
    case ServerStatus::State::kOk:
      return "ok";
    case ServerStatus::State::kFailing:
      return "failing";
    case ServerStatus::State::kOffline:
      return "offline";
  }
  return "ok";
}

namespace {

bool KnownAndDifferent(int64_t a, int64_t b) { return a >= 0 && b >= 0 && a != b; }

}  // namespace

bool SameVersion(const SeriesVersion& a, const SeriesVersion& b) {
  if (KnownAndDifferent(a.image_count, b.image_count)) return false;
  if (KnownAndDifferent(a.total_bytes, b.total_bytes)) return false;
  const size_t common = std::min(a.timestamp.size(), b.timestamp.size());
  return std::string_view(a.timestamp).substr(0, common) ==
         std::string_view(b.timestamp).substr(0, common);
}

std::string SeriesMd5(std::vector<std::string> instance_md5s_hex) {
  std::sort(instance_md5s_hex.begin(), instance_md5s_hex.end());
  Md5 md5;
  for (const std::string& sum : instance_md5s_hex) md5.Update(AsBytes(sum));
  return md5.FinishHex();
}

}  // namespace tciafs::source
