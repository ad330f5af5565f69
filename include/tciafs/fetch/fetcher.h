// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Brings instances into the block cache: one stream per series however many readers, each reader
// woken as soon as its instance has arrived whole. Verifies count, sum and MD5 sums; what a stream
// left out or damaged is fetched as single images, then with the series once more, then reported
// per instance. Readers ask for instances; who wants all of a series asks for the series, and what
// readers need not miss is then made up for too.
//
// This header is the seam towards vfs. fetch/series_fetcher.h makes the real one. Thread-safe.
// Callbacks come exactly once, on any thread (also before the call returns), with no lock held.
// Errors: those of source::Source and of cache::BlockCache; kTimedOut when a download made no
// progress for its stall time.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/source/records.h"
#include "tciafs/util/result.h"

namespace tciafs::fetch {

// The series an instance belongs to, and where to ask for it.
struct SeriesTarget {
  size_t server = 0;
  source::SeriesRecord record;
};

struct DownloadStatus {
  std::string server;
  source::SeriesRecord record;
  int64_t bytes_received = 0;   // of instances, inflated
  int64_t bytes_expected = -1;  // -1: unknown
  int64_t instances_published = 0;
  size_t waiters = 0;
  bool started = false;      // false while queued for a place, or for space other downloads hold
  int64_t streaming_ms = 0;  // since the stream under way began, which is what has been received in
};

// How the download of a whole series came to its end.
struct SeriesOutcome {
  struct Missing {
    source::SopUid sop;
    std::string reason;
  };
  // Count, sum and MD5 sums are as announced, and all of it is in the cache, on disk.
  bool verified = false;
  int64_t instances = 0;   // in the cache now
  int64_t size_bytes = 0;  // of them
  std::string reason;      // why it is not verified
  // Which instances the archive lists and did not deliver, as far as it told; kMissingToldMax.
  std::vector<Missing> missing;
};

class Fetcher {
 public:
  virtual ~Fetcher() = default;

  // The instance, readable: from the cache at once, else once it has arrived. A stop request
  // detaches this waiter with kCancelled; a download whose last waiter went away like that ends
  // after a short while. One whose waiters were all served goes on to its end, unless others wait
  // for its place, or for the space it holds, while nobody asks for anything of its series: then it
  // ends early, and what arrived stays. An empty sop means any instance of the series: whichever is
  // here, or arrives first.
  virtual void Acquire(const SeriesTarget& target, const source::SopUid& sop, std::stop_token stop,
                       Callback<std::shared_ptr<cache::InstanceFile>> done) = 0;

  // All of the series, verified: at once if it is, else when its download (the one readers share)
  // has done what it could, which it is not ended early from while such a caller waits. What failed
  // lately is asked for again. An error where the download could not come to an end; what arrived
  // until then stays. A stop request is as with Acquire.
  virtual void AcquireSeries(const SeriesTarget& target, std::stop_token stop,
                             Callback<SeriesOutcome> done) = 0;

  // Brings a series that nobody has asked for yet, if that is in nobody's way: a place is free and
  // none is waited for, the cache has the space without evicting, no other such download is under
  // way, and its last one did not fail. It ends early when others wait for its place, until a
  // reader asks for something of it; its failure is nobody's.
  enum class Ahead { kBegun, kNotNow, kNeedless };  // needless: it is here, or on its way
  virtual Ahead FetchAhead(const SeriesTarget& target) = 0;

  // Why the last fetch of this instance (or, with an empty sop, of its series) failed; "" if it did
  // not.
  virtual std::string LastError(const cache::SeriesKey& key, const source::SopUid& sop) const = 0;
  virtual std::vector<DownloadStatus> Downloads() const = 0;

  // Ends every download and every waiter (kCancelled); later calls of Acquire for what is not
  // cached fail at once. Returns when no callback is running any more (so never call it from one),
  // and has let go of the cache. The destructor does it too.
  virtual void Shutdown() = 0;
};

}  // namespace tciafs::fetch
