// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One download of one series in one version: from its place in the queue to the last answer.
//
//   queued ◄─► opening ─► streaming ─► healing ─► ended
//                ▲ │        ▲ │ ▲         │
//                └─┴─pausing┘─┘ └─────────┘
//
// opening reserves the space and serves what is here already (or goes back into the queue, where
// the space other downloads hold is lacking); pausing waits to try again (the cache is busy, a
// stream broke); healing fetches single images for what is wanted and missing (where the series is
// wanted: of what the archive lists, which it is asked for once a stream brought other than that).
// Steps run one after the other on a strand, and only they change the phase. Instances arrive
// beside them, on the sources' threads, and wake their waiters at once.
//
// Thread-safe. Owned by shared_ptr: by the fetcher's table until it ends, and by its sinks, steps
// and timers. The mutex is never held across a callback or a call into another layer.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_set>
#include <vector>

#include "fetch/fetch_core.h"
#include "fetch/instance_sink.h"
#include "fetch/waiters.h"
#include "tciafs/fetch/fetcher.h"
#include "tciafs/source/source.h"
#include "tciafs/util/executor.h"
#include "tciafs/util/mutex.h"

namespace tciafs::fetch {

class SeriesDownload final : public SinkOwner, public std::enable_shared_from_this<SeriesDownload> {
 public:
  using OnEnd = std::function<void(const std::shared_ptr<SeriesDownload>&)>;
  using PutBack = std::function<bool(const std::shared_ptr<SeriesDownload>&)>;
  // `on_end` comes once, from a step or never (after the gate closed); before the last answers.
  // `put_back` comes from a step when the cache has no space at the moment: true if the download
  // will be started again once another one has ended, false if there is none to wait for.
  SeriesDownload(std::shared_ptr<FetchCore> core, source::Source& source, SeriesTarget target,
                 OnEnd on_end, PutBack put_back);

  enum class Joined { kWaiting, kPublished, kClosed };
  // kPublished: it has arrived already, ask the cache (`not_in_cache`: that was tried). kClosed:
  // the download takes no more waiters.
  Joined Join(const WaiterPtr& waiter, bool not_in_cache);
  void Leave(const WaiterPtr& waiter);  // answers it with kCancelled unless it was answered
  void Touch();                         // an instance of it was read from the cache

  // For who queues behind it. Waited for: it has waiters. Ending: it was cancelled. Idle: nobody
  // waits, and since when nobody asked for anything of it (0 while waited for).
  bool WaitedFor() const;
  bool Ending() const;
  int64_t IdleMs() const;
  bool Unasked() const;             // nobody ever asked for anything of it: it is fetched ahead
  void EndIfIdle(int64_t idle_ms);  // cancels it unless it has been idle for less

  void Start();                     // it is its turn; once, and again each time it was put back
  void Cancel(const Error& error);  // answers every waiter; ends as soon as the source lets go
  void Abandon();                   // lets go of the cache; after the gate closed and emptied

  DownloadStatus Snapshot() const;
  const SeriesTarget& target() const { return target_; }
  const cache::SeriesKey& key() const { return intake_.plan.key; }

  Intake& intake() override { return intake_; }
  bool IsWanted(const source::SopUid& sop) override;
  void OnPublished(const source::SopUid& sop, const InstancePtr& file) override;
  void OnWithdrawn(const source::SopUid& sop) override;
  void OnSinkDone(const std::shared_ptr<InstanceSink>& sink, SinkOutcome outcome) override;

 private:
  enum class Phase { kQueued, kOpening, kPausing, kStreaming, kHealing, kEnded };
  using Step = void (SeriesDownload::*)();

  // Steps and their parts: on the strand.
  void Run(std::function<void()> step);
  void After(int64_t delay_ms, std::function<void()> step);
  void Open();
  bool ServeFromCache();
  bool NearlyComplete() const;
  bool OnlyLeftOutWanted() const;
  bool ListingMayHelp() const;
  bool CouldFitAlone() const;
  void Pause(int64_t delay_ms, Step next);
  void Stream();
  void AfterStream(const SinkOutcome& outcome);
  void List();
  void AfterListing(const Result<std::vector<source::InstanceListing>>& listings);
  void ListSizes();
  void AfterSizes(const Result<std::vector<source::InstanceListing>>& listings);
  void DropForeign(const source::SopUid& sop);
  void Heal();
  void FetchSingle(const source::SopUid& sop);
  void AfterSingle(const SinkOutcome& outcome);
  void Conclude();
  void MarkVerifiedIfComplete();
  void Assess();
  void Finish(const Error& error);
  void Close(std::vector<WaiterPtr> unserved, const std::optional<Error>& error);
  void RememberMissing(const std::vector<WaiterPtr>& unserved);
  SeriesOutcome Outcome() const;
  std::string WhyNotVerified(const SeriesOutcome& outcome) const;
  void LogEnd() const;
  void LingerOver(uint64_t interest_then);
  bool EndedByCancel();
  bool MarkCancelled(const Error& error) TCIAFS_REQUIRES(mutex_);
  void LetGo(const std::vector<WaiterPtr>& unserved, const Error& error);

  void Enter(Phase phase);
  int64_t BackoffMs() const;
  source::SeriesQuery Query() const;
  Error WhyMissing(const source::SopUid& sop) const;
  std::optional<source::SopUid> NextSingle() const TCIAFS_REQUIRES(mutex_);
  bool StreamMayBringMore() const TCIAFS_REQUIRES(mutex_);
  bool SeriesNeedsStream() const TCIAFS_REQUIRES(mutex_);
  bool Hopeless(const source::SopUid& sop) const TCIAFS_REQUIRES(mutex_);

  const std::shared_ptr<FetchCore> core_;
  source::Source& source_;
  const SeriesTarget target_;
  const OnEnd on_end_;
  const PutBack put_back_;
  Intake intake_;
  std::stop_source stop_;
  std::shared_ptr<Strand> strand_;  // null after Abandon

  // Of the steps alone.
  std::optional<int64_t> began_ms_;
  int busy_retries_ = 0;
  int streams_broken_ = 0;
  int64_t progress_ms_ = 0;  // when a stream last brought something, or the first began
  int whole_streams_ = 0;
  bool damaged_stream_came_ = false;
  bool streams_given_up_ = false;
  bool delivered_a_stream_ = false;
  bool began_nearly_complete_ = false;
  bool listed_ = false;                   // the archive was asked which instances there are
  bool sizes_listed_ = false;             // and how large they are
  std::vector<source::SopUid> unproven_;  // came singly, and only their listed sizes may tell
  bool verified_ = false;
  size_t singles_under_way_ = 0;
  Ledger::Findings findings_;
  std::optional<Error> stream_error_;
  std::optional<Error> fatal_error_;
  std::map<source::SopUid, Error> single_errors_;
  std::unordered_set<source::SopUid> denied_;  // the archive has no such image, and never had

  mutable Mutex mutex_;
  Phase phase_ TCIAFS_GUARDED_BY(mutex_) = Phase::kQueued;
  WaiterList waiters_ TCIAFS_GUARDED_BY(mutex_);
  std::optional<Error> cancelled_ TCIAFS_GUARDED_BY(mutex_);
  std::unordered_set<source::SopUid> published_ TCIAFS_GUARDED_BY(mutex_);
  std::unordered_set<source::SopUid> withdrawn_ TCIAFS_GUARDED_BY(mutex_);  // to be replaced
  std::unordered_set<source::SopUid> lacking_ TCIAFS_GUARDED_BY(mutex_);    // listed, never came
  std::unordered_set<source::SopUid> tried_singly_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<InstanceSink>> sinks_ TCIAFS_GUARDED_BY(mutex_);
  uint64_t interest_ TCIAFS_GUARDED_BY(mutex_) = 0;  // counts who asked for an instance of it
  bool asked_as_series_ TCIAFS_GUARDED_BY(mutex_) = false;
  int64_t last_interest_ms_ TCIAFS_GUARDED_BY(mutex_) = 0;  // asked, was answered, went away
  std::optional<int64_t> stream_began_ms_ TCIAFS_GUARDED_BY(mutex_);
};

}  // namespace tciafs::fetch
