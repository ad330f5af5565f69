// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How often each endpoint was asked, how many bytes of body it sent, how many requests were under
// way at once. Thread-safe; a Ticket must not outlive its Counters.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "tciafs/util/mutex.h"

namespace tciafs::archive {

enum class EndpointKind { kMetadata, kImages, kTokens, kUnknown };

class Counters {
 public:
  // One request under way, until it is destroyed.
  class Ticket {
   public:
    Ticket(Counters& counters, std::string endpoint)
        : counters_(counters), endpoint_(std::move(endpoint)) {}
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    void AddBytes(int64_t bytes);

   private:
    Counters& counters_;
    const std::string endpoint_;
  };

  std::shared_ptr<Ticket> Begin(const std::string& endpoint, EndpointKind kind);
  // {"v4/getSeries": {"requests": 1, "bytes": 2, "active": 0, "max_active": 1}, ...,
  //  "totals": {"metadata": 1, "images": 0, "tokens": 0, "unknown": 0}}
  std::string ToJson() const;
  // Back to zero, but for the requests that are under way.
  void Reset();

 private:
  struct Counts {
    int64_t requests = 0;
    int64_t bytes = 0;
    int64_t active = 0;
    int64_t max_active = 0;
  };

  mutable Mutex mutex_;
  std::map<std::string, Counts> endpoints_ TCIAFS_GUARDED_BY(mutex_);
  std::map<EndpointKind, int64_t> totals_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::archive
