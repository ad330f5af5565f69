// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which faults a test wants where. A plan is a list of rules, one a line (or separated by ';'):
//
//   NAME=ACTION          at every hit of the point
//   NAME=ACTION@N        at its N-th hit only, counted since the plan was read
//   NAME=ACTION@N+       from its N-th hit on
//   clock=MILLISECONDS   what the wall clock is ahead (or, with '-', behind)
//
// NAME may end in '*'. ACTION is the name of an errno (EIO, ENOSPC, ...), SHORT, KILL (as by
// SIGKILL), STOP (SIGSTOP: until the test continues the process), or SLEEP:MILLISECONDS. The first
// rule that fits decides.
//
// From the environment: TCIAFS_FAULT_POINTS is a plan; TCIAFS_FAULT_POINTS_FILE names a file with
// one, which is read again whenever it has been replaced; TCIAFS_FAULT_POINTS_LOG names a file to
// which each hit is appended as a line "NAME". A plan that is not understood ends the process, so
// that no test passes by a misspelling. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/util/mutex.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::testing {

class FaultPlan {
 public:
  // The one of this process, from its environment.
  static FaultPlan& OfProcess();

  // What FaultPoint answers; may not return.
  int Hit(std::string_view name);
  int64_t ClockOffsetMs();

 private:
  struct Rule {
    std::string name;
    enum class Action { kError, kKill, kStop, kSleep } action = Action::kError;
    int64_t argument = 0;  // an errno, or milliseconds
    int64_t first = 1;
    int64_t last = INT64_MAX;
    int64_t hits = 0;
  };

  FaultPlan();
  static Rule ParseRule(std::string_view text);
  void Read(std::string_view plan) TCIAFS_REQUIRES(mutex_);
  void ReadAgainIfReplaced() TCIAFS_REQUIRES(mutex_);
  Rule* Due(std::string_view name) TCIAFS_REQUIRES(mutex_);

  const std::string path_;
  UniqueFd log_;
  Mutex mutex_;
  std::string seen_ TCIAFS_GUARDED_BY(mutex_);  // which file was read last
  std::vector<Rule> rules_ TCIAFS_GUARDED_BY(mutex_);
  int64_t clock_offset_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

}  // namespace tciafs::testing
