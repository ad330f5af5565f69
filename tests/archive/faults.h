// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The fault plan: what shall go wrong, where, how often. A plan is a JSON array of rows
//
//   {"endpoint": "v4/getImage",            glob over endpoint names as in the counters
//    "match": {"SeriesInstanceUID": ".."}, optional: parameters of the request, exactly; null:
//                                          the request has no such parameter
//    "skip": 2,                            so many matching requests go through first (0)
//    "times": 1,                           then so many are hit; -1: all (1)
//    "action": "stall_after_bytes", "n": 1000}
//
// and kActionsHelp names the actions. All rows that match a request count it and act on it
// together. Bytes are bytes of the body; k is the position of an image in the zip, from 0.
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "exchange.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/result.h"

namespace tciafs::archive {

extern const char* const kActionsHelp;

// What is to be wrong with a zip of images. Positions count images from 0.
struct ZipFaults {
  std::set<int64_t> corrupt;
  std::set<int64_t> wrong_crc;
  std::set<int64_t> wrong_md5;
  std::set<int64_t> drop;
  std::set<int64_t> duplicate;
  std::set<int64_t> not_dicom;
  std::map<int64_t, int64_t> short_entries;  // position: bytes that remain
  std::map<int64_t, int64_t> bombs;          // position: zeros appended
  bool license_only = false;
  bool empty = false;
  bool no_md5 = false;
  bool foreign_instance = false;
  bool evil_names = false;
};

// What hits one request.
struct Faults {
  Delivery delivery;
  std::optional<Reply> reply;  // in place of the real one
  bool expire_tokens = false;
  ZipFaults zip;
};

class FaultPlan {
 public:
  // Replaces the plan; kInvalidArgument says what is wrong with it and leaves the old one.
  Status Load(std::string_view json);
  void Clear();
  Faults Match(const std::string& endpoint, const Request& request);
  // How many requests the present plan has hit.
  int64_t hits() const;

 private:
  struct Row {
    std::string endpoint;
    std::vector<std::pair<std::string, std::optional<std::string>>> match;
    int64_t skip = 0;
    int64_t times = 1;
    Faults faults;
  };

  static Result<Row> ParseRow(std::string_view json);
  static bool Matches(const Row& row, const std::string& endpoint, const Request& request);

  mutable Mutex mutex_;
  std::vector<Row> rows_ TCIAFS_GUARDED_BY(mutex_);
  int64_t hits_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::archive
