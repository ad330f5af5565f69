// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the last requests taught, kept in memory only: which failed and why, which names the archive
// did not have, which servers are well. Thread-safe. Times are monotonic milliseconds but for
// healthy_at_ms, which is compared with stored times and so is unix milliseconds.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/directory_key.h"
#include "tciafs/catalog/catalog.h"
#include "tciafs/source/source.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/result.h"

namespace tciafs::catalog {

// Errors by directory. The oldest are forgotten beyond a bound.
class FailureMemory {
 public:
  explicit FailureMemory(size_t failures_max) : failures_max_(failures_max) {}

  // `listed`: the directory has a listing, which stays. A server that does not answer blocks
  // nothing: asking it is refused at once, by whoever knows when it is back.
  void Remember(const DirectoryKey& key, Error error, int64_t now_ms, int64_t pause_ms,
                bool listed = false);
  void Forget(const DirectoryKey& key);
  // The error, while it is too early to ask again. What failed before the server recovered blocks
  // nothing.
  std::optional<Error> Blocking(const DirectoryKey& key, int64_t now_ms,
                                int64_t recovered_at_ms) const;
  // The same for a directory that has no listing: what failed while it had one, before the archive
  // withdrew and restored it, does not count.
  std::optional<Error> BlockingFirst(const DirectoryKey& key, int64_t now_ms,
                                     int64_t recovered_at_ms) const;
  // The last error, however old; forgotten when a request worked.
  std::optional<Error> Last(const DirectoryKey& key) const;

 private:
  struct Failure {
    Error error;
    int64_t at_ms = 0;
    int64_t retry_at_ms = 0;
    bool listed = false;
    uint64_t number = 0;
  };

  const size_t failures_max_;
  mutable Mutex mutex_;
  std::map<DirectoryKey, Failure> failures_ TCIAFS_GUARDED_BY(mutex_);
  std::deque<std::pair<uint64_t, DirectoryKey>> by_age_ TCIAFS_GUARDED_BY(mutex_);
  uint64_t next_number_ TCIAFS_GUARDED_BY(mutex_) = 0;
};

// How the servers answered last.
class ServerMemory {
 public:
  explicit ServerMemory(const std::vector<source::Source*>& sources);

  void NoteAnswer(size_t server);
  void NoteContent(size_t server, int64_t now_unix_ms);  // an answer that was not empty
  void NoteError(size_t server, const Error& error, int64_t now_unix_ms);
  int64_t healthy_at_ms(size_t server) const;
  std::vector<ServerHealth> Health() const;

 private:
  mutable Mutex mutex_;
  std::vector<ServerHealth> health_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<int64_t> healthy_at_ms_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::catalog
