// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// InstanceSink: where a source pours one stream (a series, or a single image). It writes instances
// into the cache, computes their MD5 on the way and publishes them. Intake is what all sinks of one
// download share.
//
// Publishing waits a moment: an instance of a series stream is published when something follows it,
// when its MD5 or the series' sum already confirms it, or after kHoldMs; because the last entry of
// a zip the server gave up on may be cut short under a valid CRC, and nothing after it means it
// might be that one.
//
// The source calls a sink's methods one after the other; two sinks of one download may be at work
// at once, and the cache's writers are for one thread at a time: the turn sees to that. It is held
// across calls into the cache (that is its purpose), never across a callback. Lock order: turn,
// then the owner's own mutex.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_set>

#include "fetch/fetch_core.h"
#include "fetch/verification.h"
#include "fetch/waiters.h"
#include "tciafs/cache/block_cache.h"
#include "tciafs/source/source.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/mutex.h"

namespace tciafs::fetch {

struct Intake {
  Intake(FetchCore& fetch_core, cache::SeriesPlan series_plan)
      : core(fetch_core), plan(std::move(series_plan)), ledger(plan.version) {}

  FetchCore& core;
  const cache::SeriesPlan plan;
  std::atomic<int64_t> bytes_received = 0;
  std::atomic<uint64_t> request_id = 0;  // of the latest series stream; 0: there was none

  Mutex turn;
  std::unique_ptr<cache::SeriesWriter> writer TCIAFS_GUARDED_BY(turn);
  Ledger ledger TCIAFS_GUARDED_BY(turn);
};

struct SinkOutcome {
  Status status;
  bool ours = false;  // the error is this house's own verdict; asking again does not help
  std::optional<source::SopUid> only;
  bool unproven = false;  // nothing told whether it was whole; its listed size might
};

class InstanceSink;

// The download a sink works for. OnPublished and OnSinkDone come with no lock held, the others
// perhaps in turn.
class SinkOwner {
 public:
  virtual ~SinkOwner() = default;
  virtual Intake& intake() = 0;
  virtual bool IsWanted(const source::SopUid& sop) = 0;
  virtual void OnPublished(const source::SopUid& sop, const InstancePtr& file) = 0;
  virtual void OnWithdrawn(const source::SopUid& sop) = 0;
  virtual void OnSinkDone(const std::shared_ptr<InstanceSink>& sink, SinkOutcome outcome) = 0;
};

class InstanceSink final : public source::SeriesSink,
                           public std::enable_shared_from_this<InstanceSink> {
 public:
  // `only`: the one instance asked for, if it was not the series.
  InstanceSink(std::shared_ptr<SinkOwner> owner, std::optional<source::SopUid> only);

  void KnowRequest(uint64_t request_id) override;
  Status BeginInstance(const source::SopUid& sop) override;
  Status Data(ByteView bytes) override;
  Status EndInstance() override;
  void ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) override;
  void Done(Status status) override;

  // Of the instance that has begun, before its data: who calls has computed it, of all of them.
  void KnowMd5(const std::string& md5_hex);
  // Lets go of what is half written. After the gate closed and emptied.
  void Drop();

 private:
  struct Incoming {
    source::SopUid sop;
    std::unique_ptr<cache::InstanceWriter> writer;  // null: already here, only measured
    Md5 md5;
    std::string md5_hex;
    int64_t size_bytes = 0;
    int64_t cached_size_bytes = -1;
    std::string cached_md5_hex;
    int64_t ended_ms = 0;
  };
  struct Arrival {
    source::SopUid sop;
    InstancePtr file;
  };
  using Arrivals = std::optional<Arrival>;

  Status BeginInTurn(const source::SopUid& sop, Arrivals& arrived) TCIAFS_REQUIRES(intake_.turn);
  Status DataInTurn(ByteView bytes) TCIAFS_REQUIRES(intake_.turn);
  Status EndInTurn(Arrivals& arrived, bool& hold) TCIAFS_REQUIRES(intake_.turn);
  Status EndAlreadyHere(const Incoming& ended, Arrivals& arrived) TCIAFS_REQUIRES(intake_.turn);
  Status EndSingle(Arrivals& arrived) TCIAFS_REQUIRES(intake_.turn);
  Status DoneInTurn(const Status& status, Arrivals& arrived) TCIAFS_REQUIRES(intake_.turn);
  Status PublishHeld(Arrivals& arrived) TCIAFS_REQUIRES(intake_.turn);
  bool HasItsSize(const Incoming& single) const TCIAFS_REQUIRES(intake_.turn);
  bool Believable(const source::SopUid& sop, int64_t size_bytes, const std::string& md5_hex) const
      TCIAFS_REQUIRES(intake_.turn);
  bool AddsUp() const TCIAFS_REQUIRES(intake_.turn);

  void HoldFor(int64_t delay_ms);
  void HoldExpired();
  void Announce(const Arrivals& arrived);
  Status Remember(Status status);

  const std::shared_ptr<SinkOwner> owner_;
  Intake& intake_;  // of owner_
  const std::optional<source::SopUid> only_;

  std::optional<Incoming> open_ TCIAFS_GUARDED_BY(intake_.turn);
  std::optional<Incoming> held_ TCIAFS_GUARDED_BY(intake_.turn);
  std::optional<Incoming> early_ TCIAFS_GUARDED_BY(intake_.turn);  // published by kHoldMs alone
  bool hold_timer_ TCIAFS_GUARDED_BY(intake_.turn) = false;
  std::unordered_set<source::SopUid> delivered_ TCIAFS_GUARDED_BY(intake_.turn);
  int64_t delivered_bytes_ TCIAFS_GUARDED_BY(intake_.turn) = 0;  // each instance once
  int64_t received_bytes_ TCIAFS_GUARDED_BY(intake_.turn) = 0;   // all
  int64_t begun_ TCIAFS_GUARDED_BY(intake_.turn) = 0;
  std::atomic<bool> own_error_ = false;
  std::atomic<bool> unproven_ = false;
};

}  // namespace tciafs::fetch
