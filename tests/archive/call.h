// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What an endpoint is given: the request, who asks, which family of the API it came through, and
// what the archive holds. Borrowed for the length of the call; what outlives it (a body still to be
// written) copies what it needs, but may keep `holdings` and `options`.
#pragma once

#include <cstdint>
#include <string>

#include "exchange.h"
#include "faults.h"
#include "holdings.h"

namespace tciafs::archive {

enum class Family : unsigned { kV1 = 1, kV2 = 2, kV4 = 4, kUnversioned = 8 };

struct ServiceOptions {
  unsigned families = 1 | 2 | 4;      // of Family; the unversioned calls are drill_down's
  bool drill_down = true;             // else its paths are unknown
  bool v4_drill_down_broken = false;  // 500
  bool old_schema = false;            // as servers of 2021: series rows end at TimeStamp
  bool shuffle = false;               // another order of rows on each request
  std::string api_key;                // v1 wants it in the api_key header; "": no
  int zip_level = 6;
  bool keep_replies = false;  // in memory, to answer the same request at once the next time
};

struct Call {
  const Request& request;
  Family family;
  const Holdings& holdings;
  const ServiceOptions& options;
  const ZipFaults& zip_faults;
  Viewer viewer;
  uint64_t order = 0;  // of rows, see Scope

  bool v4() const { return family == Family::kV4; }
};

}  // namespace tciafs::archive
