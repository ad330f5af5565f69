// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What failed lately and why, per instance and (with an empty sop) per series: for a short while
// the same question gets the same answer without asking the archive, and the text stays until a
// success. Of a server that does not answer only the text is kept: whoever refuses to ask it knows
// best when it is back. What the archive lists but does not deliver is forgotten only by a success
// or a new version, and each time it fails again the while is twice as long. Bounded by
// kFailuresMax. Thread-safe; its lock is a leaf.
#pragma once

#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "tciafs/cache/block_cache.h"
#include "tciafs/source/records.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/result.h"

namespace tciafs::fetch {

class FailureMemory {
 public:
  FailureMemory(const Clock& clock, int64_t memory_ms) : clock_(clock), memory_ms_(memory_ms) {}

  // A cancellation, and a version that was superseded, are not failures: not remembered.
  void Remember(const cache::SeriesKey& key, const source::SopUid& sop,
                const source::SeriesVersion& version, const Error& error);
  // A download that healed what it could came to its end without this instance. Where this machine
  // was the reason (its disk, its memory), it is remembered as any other failure.
  void RememberLeftOut(const cache::SeriesKey& key, const source::SopUid& sop,
                       const source::SeriesVersion& version, const Error& error);
  void Forget(const cache::SeriesKey& key, const source::SopUid& sop);

  // The error to answer with instead of asking again: of the series, or of the instance. What
  // failed before the server recovered is worth asking again, but for what it left out.
  std::optional<Error> Recall(const cache::SeriesKey& key, const source::SopUid& sop,
                              const source::SeriesVersion& version,
                              int64_t recovered_at_ms = std::numeric_limits<int64_t>::min()) const;
  // True also when it is time to ask again: another stream of this version will not bring it.
  bool LeftOut(const cache::SeriesKey& key, const source::SopUid& sop,
               const source::SeriesVersion& version) const;
  std::string Text(const cache::SeriesKey& key, const source::SopUid& sop) const;

 private:
  using Name = std::pair<cache::SeriesKey, source::SopUid>;
  struct Failure {
    Name name;
    source::SeriesVersion version;
    Error error;
    int64_t until_ms = 0;
    int64_t left_out_ms = 0;  // for how long then; 0: this was another failure
    int64_t at_ms = 0;
  };

  void Put(Failure failure) TCIAFS_REQUIRES(mutex_);
  const Failure* LeftOutOne(const Name& name, const source::SeriesVersion& version) const
      TCIAFS_REQUIRES(mutex_);
  std::optional<Error> RecallOne(const Name& name, const source::SeriesVersion& version,
                                 int64_t recovered_at_ms) const TCIAFS_REQUIRES(mutex_);

  const Clock& clock_;
  const int64_t memory_ms_;
  mutable Mutex mutex_;
  std::list<Failure> failures_ TCIAFS_GUARDED_BY(mutex_);  // latest first
  std::map<Name, std::list<Failure>::iterator> by_name_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::fetch
