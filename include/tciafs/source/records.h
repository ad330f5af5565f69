// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The ids and the records every archive answers with, in the field's terms: collection, patient,
// study, series, instance. Plain data: safe to copy and to share between threads once built.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/util/strong.h"

namespace tciafs::source {

using CollectionId = StrongText<struct CollectionIdTag>;
using PatientId = StrongText<struct PatientIdTag>;
using StudyUid = StrongText<struct StudyUidTag>;
using SeriesUid = StrongText<struct SeriesUidTag>;
using SopUid = StrongText<struct SopUidTag>;

// Everything the server said of an object, unknown keys too: name and value as text, in the
// server's order, under the archive's canonical names (one spelling per meaning, whatever API
// family answered).
struct Attribute {
  std::string name;
  std::string value;
  bool is_number = false;  // how it is written in JSON
  friend bool operator==(const Attribute&, const Attribute&) = default;
};
using Attributes = std::vector<Attribute>;

struct CollectionRecord {
  CollectionId collection;
};

struct PatientRecord {
  CollectionId collection;
  PatientId patient;
  Attributes attributes;
};

// What tells one state of a series from another under the same UID. Archives answer with different
// precision (day, or second), so versions are compared by SameVersion, not by equality.
struct SeriesVersion {
  std::string timestamp;     // ISO 8601, to the day or to the second; "" if unknown
  int64_t image_count = -1;  // -1: unknown
  int64_t total_bytes = -1;  // -1: unknown
};
// True unless a field known on both sides differs (timestamps to their common precision).
bool SameVersion(const SeriesVersion& a, const SeriesVersion& b);

struct SeriesRecord {
  CollectionId collection;
  PatientId patient;
  StudyUid study;
  SeriesUid series;
  SeriesVersion version;   // carries image count and total size too
  int64_t modified_s = 0;  // unix time of the version's timestamp; 0 if unknown
  Attributes attributes;   // series and study level
};

struct InstanceRecord {
  SopUid sop;
  int64_t size_bytes = -1;  // as the archive advertises it; -1: it does not
};

// One MD5 sum for those of all instances of a series (each 32 lower-case hex digits), in any order:
// that of the digits in ascending order, one after the other.
std::string SeriesMd5(std::vector<std::string> instance_md5s_hex);

struct InstanceListing {
  SeriesUid series;
  std::vector<InstanceRecord> instances;
};

}  // namespace tciafs::source
