// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "counters.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace tciafs::archive {

Counters::Ticket::~Ticket() {
  MutexLock lock(counters_.mutex_);
  --counters_.endpoints_[endpoint_].active;
}

void Counters::Ticket::AddBytes(int64_t bytes) {
  MutexLock lock(counters_.mutex_);
  counters_.endpoints_[endpoint_].bytes += bytes;
}

std::shared_ptr<Counters::Ticket> Counters::Begin(const std::string& endpoint, EndpointKind kind) {
  MutexLock lock(mutex_);
  Counts& counts = endpoints_[endpoint];
  ++counts.requests;
  ++counts.active;
  counts.max_active = std::max(counts.max_active, counts.active);
  ++totals_[kind];
  return std::make_shared<Ticket>(*this, endpoint);
}

std::string Counters::ToJson() const {
  nlohmann::json all = nlohmann::json::object();
  MutexLock lock(mutex_);
  for (const auto& [endpoint, counts] : endpoints_) {
    all[endpoint] = {{"requests", counts.requests},
                     {"bytes", counts.bytes},
                     {"active", counts.active},
                     {"max_active", counts.max_active}};
  }
  const auto total = [&](EndpointKind kind) TCIAFS_NO_THREAD_SAFETY_ANALYSIS {
    const auto found = totals_.find(kind);
    return found == totals_.end() ? int64_t{0} : found->second;
  };
  all["totals"] = {{"metadata", total(EndpointKind::kMetadata)},
                   {"images", total(EndpointKind::kImages)},
                   {"tokens", total(EndpointKind::kTokens)},
                   {"unknown", total(EndpointKind::kUnknown)}};
  return all.dump(1) + "\n";
}

void Counters::Reset() {
  MutexLock lock(mutex_);
  totals_.clear();
  for (auto& [endpoint, counts] : endpoints_)
    counts = {.requests = 0, .bytes = 0, .active = counts.active, .max_active = counts.active};
}

}  // namespace tciafs::archive
