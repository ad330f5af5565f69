// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/walk_detector.h"

#include <algorithm>

namespace tciafs::catalog {
namespace {

constexpr size_t kPatientsRemembered = 16;  // of one collection; parallel walkers interleave
constexpr size_t kCollectionsRemembered = 64;
constexpr size_t kOthersOfAWalk = 2;

}  // namespace

bool WalkDetector::Note(const DirectoryKey& collection, const std::string& patient,
                        const std::string& successor, int64_t now_ms) {
  MutexLock lock(mutex_);
  if (asked_.size() > kCollectionsRemembered)
    std::erase_if(asked_, [&](const auto& entry) {
      return entry.second.empty() || entry.second.back().at_ms + window_ms_ < now_ms;
    });
  std::deque<Asked>& recent = asked_[collection];
  std::erase_if(recent, [&](const Asked& asked) {
    return asked.at_ms + window_ms_ < now_ms || asked.patient == patient;
  });
  const bool follows = std::any_of(recent.begin(), recent.end(),
                                   [&](const Asked& asked) { return asked.successor == patient; });
  const bool is_walk = follows || recent.size() >= kOthersOfAWalk;
  recent.push_back({patient, successor, now_ms});
  if (recent.size() > kPatientsRemembered) recent.pop_front();
  return is_walk;
}

}  // namespace tciafs::catalog
