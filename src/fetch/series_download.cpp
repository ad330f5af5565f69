// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/series_download.h"

#include <algorithm>
#include <utility>

#include "fetch/queued_sink.h"
#include "tciafs/fetch/limits.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/log.h"

namespace tciafs::fetch {
namespace {

// What another try of the same stream may cure.
bool MayHeal(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kThrottled || code == Errc::kCorrupt;
}

}  // namespace

SeriesDownload::SeriesDownload(std::shared_ptr<FetchCore> core, source::Source& source,
                               SeriesTarget target, OnEnd on_end, PutBack put_back)
    : core_(std::move(core)),
      source_(source),
      target_(std::move(target)),
      on_end_(std::move(on_end)),
      put_back_(std::move(put_back)),
      intake_(*core_,
              cache::SeriesPlan{{source.scope(), target_.record.series}, target_.record.version}),
      strand_(Strand::Create(core_->executor)),
      waiters_(core_->waiters) {}

// ---- waiters: any thread

SeriesDownload::Joined SeriesDownload::Join(const WaiterPtr& waiter, bool not_in_cache) {
  MutexLock lock(mutex_);
  if (cancelled_ || phase_ == Phase::kEnded) return Joined::kClosed;
  if (!not_in_cache && !waiter->for_series()) {
    const bool arrived =
        waiter->sop.empty() ? !published_.empty() : published_.contains(waiter->sop);
    if (arrived) return Joined::kPublished;
  }
  if (!waiter->for_series()) published_.erase(waiter->sop);
  waiters_.Add(waiter);
  ++interest_;
  asked_as_series_ |= waiter->for_series();
  last_interest_ms_ = core_->clock.MonotonicMs();
  return Joined::kWaiting;
}

void SeriesDownload::Leave(const WaiterPtr& waiter) {
  std::optional<uint64_t> lonely_since;
  {
    MutexLock lock(mutex_);
    if (!waiters_.Remove(waiter)) return;
    last_interest_ms_ = core_->clock.MonotonicMs();
    if (waiters_.size() == 0) lonely_since = interest_;
  }
  waiter->Refuse({Errc::kCancelled, "the read was interrupted"});
  if (lonely_since)
    After(core_->options.linger_ms, [this, then = *lonely_since] { LingerOver(then); });
}

void SeriesDownload::Touch() {
  MutexLock lock(mutex_);
  ++interest_;
  last_interest_ms_ = core_->clock.MonotonicMs();
}

bool SeriesDownload::WaitedFor() const {
  MutexLock lock(mutex_);
  return waiters_.size() > 0;
}

bool SeriesDownload::Ending() const {
  MutexLock lock(mutex_);
  return cancelled_ || phase_ == Phase::kEnded;
}

bool SeriesDownload::Unasked() const {
  MutexLock lock(mutex_);
  return interest_ == 0;
}

int64_t SeriesDownload::IdleMs() const {
  MutexLock lock(mutex_);
  return waiters_.size() > 0 ? 0 : core_->clock.MonotonicMs() - last_interest_ms_;
}

void SeriesDownload::EndIfIdle(int64_t idle_ms) {
  const Error error{Errc::kCancelled, "others wait for the place of this download"};
  {
    MutexLock lock(mutex_);
    if (waiters_.size() > 0 || core_->clock.MonotonicMs() - last_interest_ms_ < idle_ms) return;
    if (!MarkCancelled(error)) return;
  }
  LogInfo("series {}: the download ends early: {}", key().series.text(), error.message);
  LetGo({}, error);
}

void SeriesDownload::Cancel(const Error& error) {
  std::vector<WaiterPtr> unserved;
  {
    MutexLock lock(mutex_);
    if (!MarkCancelled(error)) return;
    unserved = waiters_.TakeAll();
  }
  LetGo(unserved, error);
}

bool SeriesDownload::MarkCancelled(const Error& error) {
  if (cancelled_ || phase_ == Phase::kEnded) return false;
  cancelled_ = error;
  return true;
}

void SeriesDownload::LetGo(const std::vector<WaiterPtr>& unserved, const Error& error) {
  stop_.request_stop();
  RefuseAll(unserved, error);
  Run([this] {
    bool idle = false;
    {
      MutexLock lock(mutex_);
      idle = phase_ == Phase::kQueued || phase_ == Phase::kPausing;
    }
    if (idle) EndedByCancel();
  });
}

void SeriesDownload::Abandon() {
  std::vector<std::shared_ptr<InstanceSink>> sinks;
  {
    MutexLock lock(mutex_);
    sinks.swap(sinks_);
  }
  for (const auto& sink : sinks) sink->Drop();
  std::unique_ptr<cache::SeriesWriter> writer;
  {
    MutexLock turn(intake_.turn);
    writer = std::move(intake_.writer);
  }
  strand_.reset();
}

DownloadStatus SeriesDownload::Snapshot() const {
  DownloadStatus status;
  status.server = source_.name();
  status.record = target_.record;
  status.bytes_received = intake_.bytes_received;
  status.bytes_expected = target_.record.version.total_bytes;
  MutexLock lock(mutex_);
  status.instances_published = static_cast<int64_t>(published_.size());
  status.waiters = waiters_.size();
  status.started = phase_ != Phase::kQueued;
  if (stream_began_ms_) status.streaming_ms = core_->clock.MonotonicMs() - *stream_began_ms_;
  return status;
}

// ---- arrivals: the sources' threads

bool SeriesDownload::IsWanted(const source::SopUid& sop) {
  MutexLock lock(mutex_);
  return waiters_.Contains(sop) || waiters_.Contains(source::SopUid());
}

void SeriesDownload::OnPublished(const source::SopUid& sop, const InstancePtr& file) {
  std::vector<WaiterPtr> served;
  std::vector<WaiterPtr> served_by_any;
  {
    MutexLock lock(mutex_);
    published_.insert(sop);
    withdrawn_.erase(sop);
    lacking_.erase(sop);
    served = waiters_.Take(sop);
    served_by_any = waiters_.Take(source::SopUid());
    if (!served.empty() || !served_by_any.empty()) last_interest_ms_ = core_->clock.MonotonicMs();
  }
  core_->failures.Forget(key(), sop);
  AnswerAll(served, file);
  AnswerAll(served_by_any, file);
}

void SeriesDownload::OnWithdrawn(const source::SopUid& sop) {
  MutexLock lock(mutex_);
  published_.erase(sop);
  withdrawn_.insert(sop);
}

void SeriesDownload::OnSinkDone(const std::shared_ptr<InstanceSink>& sink, SinkOutcome outcome) {
  {
    MutexLock lock(mutex_);
    std::erase(sinks_, sink);
  }
  Run([this, outcome = std::move(outcome)] {
    outcome.only ? AfterSingle(outcome) : AfterStream(outcome);
  });
}

// ---- steps: on the strand

void SeriesDownload::Run(std::function<void()> step) {
  const Gate::Pass pass(core_->gate);
  if (!pass) return;
  strand_->Post([self = shared_from_this(), step = std::move(step)] {
    const Gate::Pass inside(self->core_->gate);
    if (inside) step();
  });
}

void SeriesDownload::After(int64_t delay_ms, std::function<void()> step) {
  core_->scheduler.After(delay_ms, [self = shared_from_this(), step = std::move(step)]() mutable {
    self->Run(std::move(step));
  });
}

void SeriesDownload::Start() {
  Run([this] {
    if (EndedByCancel()) return;
    if (!began_ms_) began_ms_ = core_->clock.MonotonicMs();
    Enter(Phase::kOpening);
    Open();
  });
}

void SeriesDownload::Open() {
  // Before anything makes room for what cannot come.
  if (const auto refused = source_.Refuses()) return Finish(*refused);
  auto writer = core_->cache.BeginSeries(intake_.plan);
  if (!writer && writer.error().code == Errc::kBusy && busy_retries_++ < kBusyRetriesMax)
    return Pause(kBusyRetryMs, &SeriesDownload::Open);
  if (!writer && writer.error().code == Errc::kNoSpace && CouldFitAlone() && !Unasked()) {
    if (EndedByCancel()) return;
    Enter(Phase::kQueued);
    if (put_back_(shared_from_this())) return;
  }
  if (!writer) return Finish(writer.error());
  {
    MutexLock turn(intake_.turn);
    intake_.writer = std::move(*writer);
  }
  // Whoever kept the series busy may have brought what is wanted.
  if (busy_retries_ > 0 && ServeFromCache()) return Conclude();
  began_nearly_complete_ = NearlyComplete();
  if (!began_nearly_complete_ && !OnlyLeftOutWanted()) return Stream();
  whole_streams_ = 1;  // an earlier download had it
  Heal();
}

// True if that left nobody waiting.
bool SeriesDownload::ServeFromCache() {
  std::vector<source::SopUid> wanted;
  {
    MutexLock lock(mutex_);
    wanted = waiters_.Wanted();
  }
  for (const auto& sop : wanted) {
    auto file = core_->cache.Open(key(), intake_.plan.version, sop);
    if (file) OnPublished(sop, *file);
  }
  MutexLock lock(mutex_);
  return !wanted.empty() && waiters_.size() == 0;
}

bool SeriesDownload::CouldFitAlone() const {
  const int64_t announced = intake_.plan.version.total_bytes;
  return announced >= 0 && announced < core_->cache.usage().cap_bytes;
}

void SeriesDownload::Pause(int64_t delay_ms, Step next) {
  if (EndedByCancel()) return;
  Enter(Phase::kPausing);
  After(delay_ms, [this, next] {
    {
      MutexLock lock(mutex_);
      if (phase_ != Phase::kPausing) return;
    }
    if (EndedByCancel()) return;
    Enter(Phase::kOpening);
    (this->*next)();
  });
}

void SeriesDownload::Stream() {
  if (EndedByCancel()) return;
  Enter(Phase::kStreaming);
  if (streams_broken_ == 0) progress_ms_ = core_->clock.MonotonicMs();
  intake_.bytes_received = 0;
  auto sink = std::make_shared<InstanceSink>(shared_from_this(), std::nullopt);
  {
    MutexLock lock(mutex_);
    sinks_.push_back(sink);
    stream_began_ms_ = core_->clock.MonotonicMs();
  }
  if (core_->options.queue_bytes_max == 0)
    return source_.StreamSeries(Query(), stop_.get_token(), std::move(sink));
  source_.StreamSeries(Query(), stop_.get_token(),
                       std::make_shared<QueuedSink>(core_, std::move(sink)));
}

void SeriesDownload::AfterStream(const SinkOutcome& outcome) {
  if (EndedByCancel()) return;
  const int64_t now_ms = core_->clock.MonotonicMs();
  if (intake_.bytes_received > 0) progress_ms_ = now_ms;
  Assess();
  if (outcome.status) {
    ++whole_streams_;
    delivered_a_stream_ = true;
    stream_error_.reset();
    return Heal();
  }
  const Error& error = outcome.status.error();
  stream_error_ = error;
  damaged_stream_came_ |= intake_.bytes_received > 0 || error.code == Errc::kCorrupt;
  if (outcome.ours && error.code == Errc::kCorrupt) {
    LogWarning("series {}: {}", key().series.text(), error.message);
    streams_given_up_ = true;
    return Heal();
  }
  if (outcome.ours || !MayHeal(error.code)) return Finish(error);
  const bool in_time = now_ms - progress_ms_ < core_->options.stall_ms;
  if (streams_broken_++ < kStreamRetriesMax && in_time) {
    LogInfo("series {}: the download broke, trying again: {}", key().series.text(), error.message);
    return Pause(BackoffMs(), &SeriesDownload::Stream);
  }
  // A server that answers nothing has no single images either.
  if (!damaged_stream_came_) return Finish(error);
  streams_given_up_ = true;
  Heal();
}

// Nothing is under way. Another stream, if it may help; else the end.
void SeriesDownload::Conclude() {
  if (EndedByCancel()) return;
  Assess();
  MarkVerifiedIfComplete();
  if (ListingMayHelp()) return List();
  const bool stream_again = !streams_given_up_ && whole_streams_ < kWholeStreamsMax;
  // Right in number but not in sum: confirmed by their MD5 sums, or by a second delivery.
  const bool unconfirmed = delivered_a_stream_ && findings_.drifted && !findings_.all_sums;
  // Everything announced is here: what is still missing does not exist.
  const bool nothing_lacks = findings_.complete && intake_.plan.version.image_count >= 0;
  std::vector<WaiterPtr> unserved;
  enum class Next { kHeal, kStream, kEnd } next = Next::kEnd;
  {
    MutexLock lock(mutex_);
    if (NextSingle()) {
      next = Next::kHeal;
    } else if (stream_again &&
               (unconfirmed || (StreamMayBringMore() && !nothing_lacks) || SeriesNeedsStream())) {
      next = Next::kStream;
    } else {
      phase_ = Phase::kEnded;
      unserved = waiters_.TakeAll();
    }
  }
  if (next == Next::kHeal) return Heal();
  if (next == Next::kStream) return Stream();
  if (findings_.drifted && !findings_.complete)
    LogWarning("series {}: delivered as a whole, but not with the {} bytes announced",
               key().series.text(), intake_.plan.version.total_bytes);
  Close(std::move(unserved), std::nullopt);
}

void SeriesDownload::MarkVerifiedIfComplete() {
  const auto& version = intake_.plan.version;
  const bool announced = version.image_count >= 0 && version.total_bytes >= 0;
  if (findings_.complete && (announced || delivered_a_stream_)) {
    MutexLock turn(intake_.turn);
    const auto status = intake_.writer->MarkVerified();
    if (!status) LogWarning("series {}: {}", key().series.text(), status.error().message);
  }
  verified_ = core_->cache.Verified(key(), version);
}

void SeriesDownload::Finish(const Error& error) {
  std::vector<WaiterPtr> unserved;
  if (!Unasked()) core_->failures.Remember(key(), source::SopUid(), intake_.plan.version, error);
  {
    MutexLock lock(mutex_);
    phase_ = Phase::kEnded;
    unserved = waiters_.TakeAll();
  }
  Close(std::move(unserved), error);
}

// The cache is free for the next download of this series, and the server for any, before the last
// answers go out.
void SeriesDownload::Close(std::vector<WaiterPtr> unserved, const std::optional<Error>& error) {
  std::unique_ptr<cache::SeriesWriter> writer;
  {
    MutexLock turn(intake_.turn);
    writer = std::move(intake_.writer);
  }
  writer.reset();
  std::optional<SeriesOutcome> outcome;
  if (!error) {
    LogEnd();
    RememberMissing(unserved);
    const bool wanted = std::any_of(unserved.begin(), unserved.end(),
                                    [](const auto& waiter) { return waiter->for_series(); });
    if (wanted) outcome = Outcome();
  } else if (IsRefusedUnasked(error->code)) {
    LogDebug("series {}: {}", key().series.text(), error->message);
  } else if (error->code != Errc::kCancelled && error->code != Errc::kStale) {
    LogWarning("series {}: {}", key().series.text(), error->message);
  }
  on_end_(shared_from_this());
  for (const auto& waiter : unserved) {
    if (outcome && waiter->for_series()) {
      waiter->series_done(*outcome);
    } else {
      waiter->Refuse(error ? *error : WhyMissing(waiter->sop));
    }
  }
}

// If Cancel was called: the waiters have had their answers. True when there is nothing more to do.
bool SeriesDownload::EndedByCancel() {
  std::optional<Error> error;
  {
    MutexLock lock(mutex_);
    if (phase_ == Phase::kEnded) return true;
    error = cancelled_;
  }
  if (!error) return false;
  Finish(*error);
  return true;
}

void SeriesDownload::LingerOver(uint64_t interest_then) {
  const Error error{Errc::kCancelled, "nobody waits for this download any more"};
  {
    MutexLock lock(mutex_);
    if (waiters_.size() > 0 || interest_ != interest_then || !MarkCancelled(error)) return;
  }
  LetGo({}, error);
}

// ---- small parts

void SeriesDownload::Enter(Phase phase) {
  MutexLock lock(mutex_);
  phase_ = phase;
}

// Spread by a quarter either way, by a hash instead of a die: equal failures of many series do not
// come back in step.
int64_t SeriesDownload::BackoffMs() const {
  int64_t backoff_ms = kRetryFirstMs;
  for (int i = 1; i < streams_broken_; ++i) backoff_ms *= 4;
  const auto seed = static_cast<uint64_t>(core_->clock.MonotonicMs());
  const auto spread = static_cast<int64_t>(Xxh3(AsBytes(key().series.text()), seed) % 512);
  return backoff_ms + backoff_ms * (spread - 256) / 1024;
}

source::SeriesQuery SeriesDownload::Query() const {
  const auto& record = target_.record;
  return {record.collection, record.patient, record.study, record.series};
}

}  // namespace tciafs::fetch
