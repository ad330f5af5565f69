// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The kernel's requests by name, as they are counted.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "tciafs/util/outcome_counters.h"

namespace tciafs::vfs {

enum class Operation {
  kLookup,
  kForget,
  kGetattr,
  kOpendir,
  kReaddir,
  kReleasedir,
  kOpen,
  kRead,
  kRelease,
  kStatfs,
  kGetxattr,
  kListxattr,
};

inline constexpr std::array<std::string_view, 12> kOperationNames = {
    "lookup", "forget", "getattr", "opendir", "readdir",  "releasedir",
    "open",   "read",   "release", "statfs",  "getxattr", "listxattr"};

inline std::string_view OperationName(Operation operation) {
  return kOperationNames[static_cast<size_t>(operation)];
}

class OperationCounters : public OutcomeCounters<kOperationNames.size()> {
 public:
  void Note(Operation operation, std::optional<Errc> failure = std::nullopt) {
    Count(static_cast<size_t>(operation), failure);
  }
};

}  // namespace tciafs::vfs
