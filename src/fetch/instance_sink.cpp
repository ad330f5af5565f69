// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/instance_sink.h"

#include <fmt/core.h>

#include <utility>

#include "tciafs/fetch/limits.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::fetch {
namespace {

Status Closed() { return Fail(Errc::kCancelled, "the download has ended"); }

Status OutOfOrder() { return Fail(Errc::kInternal, "the source delivered events out of order"); }

}  // namespace

InstanceSink::InstanceSink(std::shared_ptr<SinkOwner> owner, std::optional<source::SopUid> only)
    : owner_(std::move(owner)), intake_(owner_->intake()), only_(std::move(only)) {}

void InstanceSink::KnowRequest(uint64_t request_id) {
  if (!only_) intake_.request_id = request_id;
}

Status InstanceSink::BeginInstance(const source::SopUid& sop) {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return Closed();
  Arrivals arrived;
  Status status;
  {
    MutexLock turn(intake_.turn);
    status = BeginInTurn(sop, arrived);
  }
  Announce(arrived);
  return Remember(std::move(status));
}

Status InstanceSink::BeginInTurn(const source::SopUid& sop, Arrivals& arrived) {
  if (!intake_.writer) return Closed();
  if (open_ || sop.empty()) return OutOfOrder();
  early_.reset();  // something follows it: it was whole
  TCIAFS_TRY(PublishHeld(arrived));
  if (only_ && *only_ != sop)
    return Fail(Errc::kCorrupt, fmt::format("asked for instance {}, the archive delivered {}",
                                            only_->text(), sop.text()));
  TCIAFS_TRY(intake_.ledger.CheckRunaway(++begun_, received_bytes_));
  Incoming incoming;
  incoming.sop = sop;
  const auto known = intake_.core.cache.Known(intake_.plan.key, intake_.plan.version, sop);
  if (known && known->cached) {
    incoming.cached_size_bytes = known->size_bytes;
    incoming.cached_md5_hex = known->md5_hex;
  } else {
    TCIAFS_ASSIGN(incoming.writer, intake_.writer->BeginInstance(sop));
  }
  open_ = std::move(incoming);
  return {};
}

void InstanceSink::KnowMd5(const std::string& md5_hex) {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return;
  MutexLock turn(intake_.turn);
  if (open_) open_->md5_hex = md5_hex;
}

Status InstanceSink::Data(ByteView bytes) {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return Closed();
  MutexLock turn(intake_.turn);
  return Remember(DataInTurn(bytes));
}

Status InstanceSink::DataInTurn(ByteView bytes) {
  if (!intake_.writer) return Closed();
  if (!open_) return OutOfOrder();
  const auto count = static_cast<int64_t>(bytes.size());
  received_bytes_ += count;
  intake_.bytes_received += count;
  TCIAFS_TRY(intake_.ledger.CheckRunaway(begun_, received_bytes_));
  open_->size_bytes += count;
  if (open_->md5_hex.empty()) open_->md5.Update(bytes);
  return open_->writer ? open_->writer->Append(bytes) : Status();
}

Status InstanceSink::EndInstance() {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return Closed();
  Arrivals arrived;
  bool hold = false;
  Status status;
  {
    MutexLock turn(intake_.turn);
    status = EndInTurn(arrived, hold);
  }
  Announce(arrived);
  if (hold) HoldFor(kHoldMs);
  return Remember(std::move(status));
}

Status InstanceSink::EndInTurn(Arrivals& arrived, bool& hold) {
  if (!intake_.writer) return Closed();
  if (!open_) return OutOfOrder();
  Incoming ended = std::move(*open_);
  open_.reset();
  if (delivered_.insert(ended.sop).second) delivered_bytes_ += ended.size_bytes;
  if (ended.md5_hex.empty()) ended.md5_hex = ended.md5.FinishHex();
  if (!ended.writer) return EndAlreadyHere(ended, arrived);
  ended.ended_ms = intake_.core.clock.MonotonicMs();
  held_ = std::move(ended);
  if (only_) return EndSingle(arrived);
  if (intake_.ledger.CheckMd5(held_->sop, held_->md5_hex) == Ledger::Md5Verdict::kDiffers) {
    LogWarning("series {}: instance {} does not have its announced MD5 sum",
               intake_.plan.key.series.text(), held_->sop.text());
    owner_->OnWithdrawn(held_->sop);
    held_.reset();
    return {};
  }
  if (Believable(held_->sop, held_->size_bytes, held_->md5_hex)) return PublishHeld(arrived);
  hold = !std::exchange(hold_timer_, true);
  return {};
}

// A stream brings what is cached already (an earlier stream broke, or is being checked, or this one
// holds it twice): what is here stays unless the two differ.
Status InstanceSink::EndAlreadyHere(const Incoming& ended, Arrivals& arrived) {
  const bool other_bytes =
      !ended.cached_md5_hex.empty() && !EqualsIgnoringCase(ended.cached_md5_hex, ended.md5_hex);
  if (ended.size_bytes != ended.cached_size_bytes || other_bytes) {
    intake_.ledger.Dispute(ended.sop, ended.cached_size_bytes, ended.size_bytes);
    return {};
  }
  if (!owner_->IsWanted(ended.sop)) return {};
  auto file = intake_.core.cache.Open(intake_.plan.key, intake_.plan.version, ended.sop);
  if (file) arrived = Arrival{ended.sop, std::move(*file)};
  return {};
}

Status InstanceSink::EndSingle(Arrivals& arrived) {
  const auto md5 = intake_.ledger.CheckMd5(held_->sop, held_->md5_hex);
  const bool plausible = intake_.ledger.Plausible(held_->sop, held_->size_bytes);
  if (md5 == Ledger::Md5Verdict::kMatches ||
      (md5 == Ledger::Md5Verdict::kUnknown && plausible &&
       (HasItsSize(*held_) || intake_.ledger.Doubted(held_->sop, held_->md5_hex)))) {
    intake_.ledger.Settle(held_->sop);
    return PublishHeld(arrived);
  }
  held_.reset();
  if (md5 == Ledger::Md5Verdict::kDiffers)
    return Fail(Errc::kCorrupt, "its MD5 sum is not the one the archive announces");
  if (!plausible) return Fail(Errc::kCorrupt, "the archive delivers it in another size each time");
  unproven_ = true;
  return Fail(Errc::kCorrupt, "neither a sum nor its size tells whether it came whole");
}

// A single image has no checksum of its own, as entries of a zip do, and one that is cut short may
// look like one that has ended.
bool InstanceSink::HasItsSize(const Incoming& single) const {
  if (intake_.ledger.HasExpectedSize(single.sop, single.size_bytes)) return true;
  const auto& announced = intake_.plan.version;
  int64_t others = 0;
  int64_t others_bytes = 0;
  for (const auto& known : intake_.core.cache.Known(intake_.plan.key, announced)) {
    if (!known.cached || known.sop == single.sop) continue;
    ++others;
    others_bytes += known.size_bytes;
  }
  return intake_.ledger.instances_announced() && intake_.ledger.bytes_announced() &&
         intake_.ledger.AddsUp(others + 1, others_bytes + single.size_bytes);
}

void InstanceSink::ExpectMd5(const source::SopUid& sop, const std::string& md5_hex) {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return;
  MutexLock turn(intake_.turn);
  intake_.ledger.ExpectMd5(sop, md5_hex);
}

void InstanceSink::Done(Status status) {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return;
  Arrivals arrived;
  Status finished;
  {
    MutexLock turn(intake_.turn);
    finished = DoneInTurn(status, arrived);
  }
  Announce(arrived);
  if (status && !finished) status = Remember(std::move(finished));
  owner_->OnSinkDone(shared_from_this(),
                     SinkOutcome{std::move(status), own_error_, only_, unproven_});
}

Status InstanceSink::DoneInTurn(const Status& status, Arrivals& arrived) {
  open_.reset();
  if (!only_)
    intake_.ledger.EndStream(status.has_value(), static_cast<int64_t>(delivered_.size()),
                             delivered_bytes_);
  const auto& last = held_ ? held_ : early_;
  if (!last || !intake_.writer) return {};
  const bool nothing_to_check =
      !intake_.ledger.instances_announced() && !intake_.ledger.bytes_announced();
  const auto md5 = intake_.ledger.CheckMd5(last->sop, last->md5_hex);
  const bool whole = md5 != Ledger::Md5Verdict::kDiffers &&
                     (Believable(last->sop, last->size_bytes, last->md5_hex) ||
                      (status && (AddsUp() || nothing_to_check)));
  if (whole) return PublishHeld(arrived);
  // Another stream may bring what follows it. If nothing does, it proves nothing: a file that the
  // server cannot read to its end is cut short each time. The single image tells.
  const bool nothing_follows = intake_.ledger.AllCame(static_cast<int64_t>(delivered_.size())) ||
                               intake_.ledger.whole_streams() > 1;
  // What was published early stays after a mere break: only a proper end makes it suspect.
  if (status && (!held_ || nothing_follows)) {
    intake_.ledger.Doubt(last->sop, last->md5_hex);
    owner_->OnWithdrawn(last->sop);
  }
  if (status && !held_) {
    const auto withdrawn = intake_.writer->Withdraw(early_->sop);
    // Kept in memory only it may have made room already.
    if (!withdrawn && withdrawn.error().code != Errc::kNotFound) return withdrawn;
  }
  held_.reset();
  early_.reset();
  return {};
}

Status InstanceSink::PublishHeld(Arrivals& arrived) {
  if (!held_) return {};
  const Incoming held = std::move(*held_);
  held_.reset();
  TCIAFS_ASSIGN(auto file, held.writer->Publish(held.md5_hex));
  arrived = Arrival{held.sop, std::move(file)};
  return {};
}

bool InstanceSink::Believable(const source::SopUid& sop, int64_t size_bytes,
                              const std::string& md5_hex) const {
  if (intake_.ledger.CheckMd5(sop, md5_hex) == Ledger::Md5Verdict::kMatches) return true;
  return intake_.ledger.Plausible(sop, size_bytes) && intake_.ledger.bytes_announced() && AddsUp();
}

bool InstanceSink::AddsUp() const {
  return intake_.ledger.AddsUp(static_cast<int64_t>(delivered_.size()), delivered_bytes_);
}

void InstanceSink::HoldFor(int64_t delay_ms) {
  intake_.core.scheduler.After(delay_ms, [self = shared_from_this()] {
    const Gate::Pass pass(self->intake_.core.gate);
    if (!pass) return;
    self->intake_.core.executor.Post([self] { self->HoldExpired(); });
  });
}

void InstanceSink::HoldExpired() {
  const Gate::Pass pass(intake_.core.gate);
  if (!pass) return;
  Arrivals arrived;
  int64_t again_ms = 0;
  {
    MutexLock turn(intake_.turn);
    hold_timer_ = false;
    if (!held_ || !intake_.writer) return;
    again_ms = held_->ended_ms + kHoldMs - intake_.core.clock.MonotonicMs();
    if (again_ms > 0) {
      hold_timer_ = true;
    } else {
      Incoming early;
      early.sop = held_->sop;
      early.size_bytes = held_->size_bytes;
      early.md5_hex = held_->md5_hex;
      // A failure to publish leaves a miss; what is wrong with the cache shows with the next one.
      if (PublishHeld(arrived)) early_ = std::move(early);
    }
  }
  Announce(arrived);
  if (again_ms > 0) HoldFor(again_ms);
}

void InstanceSink::Announce(const Arrivals& arrived) {
  if (arrived) owner_->OnPublished(arrived->sop, arrived->file);
}

Status InstanceSink::Remember(Status status) {
  if (!status) own_error_ = true;
  return status;
}

void InstanceSink::Drop() {
  MutexLock turn(intake_.turn);
  open_.reset();
  held_.reset();
}

}  // namespace tciafs::fetch
