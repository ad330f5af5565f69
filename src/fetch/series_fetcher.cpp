// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The table of downloads and the queues in front of the servers. A download is found by the series
// and its version; of one series at most one download has begun (the cache takes one writer), a
// newer version waits behind the older it ends.
//
// A download that found no space in the cache while others run goes back into its queue until one
// of them has ended; those behind it may pass. While a queue is not empty the running downloads are
// watched: one that nobody is interested in gives its place up.
//
// Lock order: the table's mutex, then a download's. Neither is held across a callback or a call
// into another layer.
//
// A download that is fetched ahead is one that has had no waiter yet.
#include "tciafs/fetch/series_fetcher.h"

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <utility>

#include "fetch/fetch_core.h"
#include "fetch/series_download.h"
#include "fetch/waiters.h"
#include "tciafs/fetch/limits.h"
#include "tciafs/util/mutex.h"

namespace tciafs::fetch {
namespace {

using DownloadPtr = std::shared_ptr<SeriesDownload>;

Error ShutDown() { return Error{Errc::kCancelled, "the file system is being unmounted"}; }

class SeriesFetcher final : public Fetcher {
 public:
  SeriesFetcher(std::vector<source::Source*> sources, std::shared_ptr<FetchCore> core)
      : core_(std::move(core)), sources_(std::move(sources)), servers_(sources_.size()) {}
  ~SeriesFetcher() override { Shutdown(); }

  void Acquire(const SeriesTarget& target, const source::SopUid& sop, std::stop_token stop,
               Callback<InstancePtr> done) override;
  void AcquireSeries(const SeriesTarget& target, std::stop_token stop,
                     Callback<SeriesOutcome> done) override;
  Ahead FetchAhead(const SeriesTarget& target) override;
  std::string LastError(const cache::SeriesKey& key, const source::SopUid& sop) const override {
    return core_->failures.Text(key, sop);
  }
  std::vector<DownloadStatus> Downloads() const override;
  void Shutdown() override;

 private:
  struct Queued {
    DownloadPtr download;
    std::optional<uint64_t> lacked_space_at;  // value of ended_; to be tried again at another
  };
  struct Running {
    DownloadPtr download;
    uint64_t ended_at_start = 0;  // value of ended_
  };
  struct Server {
    std::list<Queued> queue;
    std::list<Running> running;
  };
  // Where a waiter joined.
  struct Joining {
    DownloadPtr download = nullptr;    // null: nowhere, the instance may have come, ask the cache
    DownloadPtr superseded = nullptr;  // to be cancelled in favour of it
    bool created = false;
  };

  Status CheckTarget(const SeriesTarget& target, const std::stop_token& stop) const;
  std::optional<SeriesOutcome> VerifiedOutcome(const cache::SeriesKey& key,
                                               const source::SeriesVersion& version) const;
  void Settle(Joining joining, const SeriesTarget& target, const WaiterPtr& waiter,
              std::stop_token stop);
  InstancePtr OpenCached(const cache::SeriesKey& key, const source::SeriesVersion& version,
                         const source::SopUid& sop) const;
  void TouchDownload(const cache::SeriesKey& key);
  uint64_t EndedSoFar() const;
  Result<Joining> Join(const SeriesTarget& target, const cache::SeriesKey& key,
                       const WaiterPtr& waiter, uint64_t ended_then, bool not_in_cache);
  Joining Create(const SeriesTarget& target, const cache::SeriesKey& key, const WaiterPtr& waiter)
      TCIAFS_REQUIRES(mutex_);
  bool FitsWithoutEvicting(const source::SeriesVersion& version) const;
  bool HasRoomForMore(size_t server) const TCIAFS_REQUIRES(mutex_);
  void WatchStop(const DownloadPtr& download, const WaiterPtr& waiter, std::stop_token stop);
  bool MayStart(const Queued& queued) const TCIAFS_REQUIRES(mutex_);
  void StartNext(size_t server);
  void OnEnd(const DownloadPtr& download);
  bool PutBack(const DownloadPtr& download);
  void WatchQueues();
  int64_t UntilIdleMs() const TCIAFS_REQUIRES(mutex_);
  void MakeRoom();
  std::vector<DownloadPtr> Dispensable(const Server& server, size_t lacking_space) const
      TCIAFS_REQUIRES(mutex_);

  const std::shared_ptr<FetchCore> core_;
  const std::vector<source::Source*> sources_;

  mutable Mutex mutex_;
  bool stopping_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool watching_ TCIAFS_GUARDED_BY(mutex_) = false;  // a timer is set
  uint64_t ended_ TCIAFS_GUARDED_BY(mutex_) = 0;
  std::vector<Server> servers_ TCIAFS_GUARDED_BY(mutex_);
  // Oldest first; only the front may have begun, only the back takes waiters.
  std::map<cache::SeriesKey, std::deque<DownloadPtr>> downloads_ TCIAFS_GUARDED_BY(mutex_);
};

void SeriesFetcher::Acquire(const SeriesTarget& target, const source::SopUid& sop,
                            std::stop_token stop, Callback<InstancePtr> done) {
  const Gate::Pass pass(core_->gate);  // without one: after Shutdown, only the cache answers
  if (auto status = CheckTarget(target, stop); !status)
    return done(Fail(std::move(status).error()));
  const cache::SeriesKey key{sources_[target.server]->scope(), target.record.series};
  const auto waiter = std::make_shared<Waiter>(sop, std::move(done));
  for (bool not_in_cache = false;; not_in_cache = true) {
    const uint64_t ended_then = EndedSoFar();
    if (auto file = OpenCached(key, target.record.version, sop)) {
      core_->failures.Forget(key, sop);
      TouchDownload(key);
      return waiter->done(std::move(file));
    }
    auto joining = Join(target, key, waiter, ended_then, not_in_cache);
    if (!joining) return waiter->done(Fail(std::move(joining).error()));
    if (joining->download) return Settle(std::move(*joining), target, waiter, std::move(stop));
  }
}

void SeriesFetcher::AcquireSeries(const SeriesTarget& target, std::stop_token stop,
                                  Callback<SeriesOutcome> done) {
  const Gate::Pass pass(core_->gate);
  if (auto status = CheckTarget(target, stop); !status)
    return done(Fail(std::move(status).error()));
  const cache::SeriesKey key{sources_[target.server]->scope(), target.record.series};
  const auto waiter = std::make_shared<Waiter>(std::move(done));
  for (bool not_in_cache = false;; not_in_cache = true) {
    const uint64_t ended_then = EndedSoFar();
    if (auto outcome = VerifiedOutcome(key, target.record.version))
      return waiter->series_done(std::move(*outcome));
    auto joining = Join(target, key, waiter, ended_then, not_in_cache);
    if (!joining) return waiter->Refuse(joining.error());
    if (joining->download) return Settle(std::move(*joining), target, waiter, std::move(stop));
  }
}

Status SeriesFetcher::CheckTarget(const SeriesTarget& target, const std::stop_token& stop) const {
  if (target.server >= sources_.size())
    return Fail(Errc::kInvalidArgument, fmt::format("there is no server {}", target.server));
  if (stop.stop_requested()) return Fail(Errc::kCancelled, "the read was interrupted");
  return {};
}

// That it is wanted counts as a use: what was brought here a while ago is not to make room for the
// next that is wanted with it.
std::optional<SeriesOutcome> SeriesFetcher::VerifiedOutcome(
    const cache::SeriesKey& key, const source::SeriesVersion& version) const {
  if (!core_->cache.Verified(key, version)) return std::nullopt;
  SeriesOutcome outcome;
  bool used = false;
  for (const auto& known : core_->cache.Known(key, version)) {
    if (!known.cached) continue;
    ++outcome.instances;
    outcome.size_bytes += known.size_bytes;
    if (!used) used = core_->cache.Open(key, version, known.sop).has_value();
  }
  outcome.verified = core_->cache.Verified(key, version);  // else that one was lost
  if (!outcome.verified) return std::nullopt;
  return outcome;
}

// The waiter has joined: what that brings with it, with no lock held.
void SeriesFetcher::Settle(Joining joining, const SeriesTarget& target, const WaiterPtr& waiter,
                           std::stop_token stop) {
  if (joining.superseded)
    joining.superseded->Cancel(
        Error{Errc::kStale, "the archive has a newer version of this series"});
  WatchStop(joining.download, waiter, std::move(stop));
  if (joining.created) StartNext(target.server);
}

// A cache in trouble is no reason to fail what the archive can answer: any error is a miss.
InstancePtr SeriesFetcher::OpenCached(const cache::SeriesKey& key,
                                      const source::SeriesVersion& version,
                                      const source::SopUid& sop) const {
  if (!sop.empty()) return core_->cache.Open(key, version, sop).value_or(nullptr);
  for (const auto& known : core_->cache.Known(key, version)) {
    if (!known.cached) continue;
    if (auto file = core_->cache.Open(key, version, known.sop)) return std::move(*file);
  }
  return nullptr;
}

void SeriesFetcher::TouchDownload(const cache::SeriesKey& key) {
  MutexLock lock(mutex_);
  const auto found = downloads_.find(key);
  if (found != downloads_.end()) found->second.back()->Touch();
}

uint64_t SeriesFetcher::EndedSoFar() const {
  MutexLock lock(mutex_);
  return ended_;
}

Result<SeriesFetcher::Joining> SeriesFetcher::Join(const SeriesTarget& target,
                                                   const cache::SeriesKey& key,
                                                   const WaiterPtr& waiter, uint64_t ended_then,
                                                   bool not_in_cache) {
  const auto& version = target.record.version;
  const int64_t recovered_at_ms = sources_[target.server]->recovered_at_ms();
  MutexLock lock(mutex_);
  if (stopping_) return Fail(ShutDown());
  if (core_->waiters >= core_->options.waiters_max)
    return Fail(Errc::kUnavailable, "too many reads wait for downloads");
  if (!waiter->for_series())
    if (auto failure = core_->failures.Recall(key, waiter->sop, version, recovered_at_ms))
      return Fail(std::move(*failure));
  const auto found = downloads_.find(key);
  DownloadPtr superseded;
  if (found != downloads_.end()) {
    const DownloadPtr& latest = found->second.back();
    const auto& running = latest->target().record.version;
    if (source::SameVersion(running, version)) {
      switch (latest->Join(waiter, not_in_cache)) {
        case SeriesDownload::Joined::kWaiting:
          return Joining{.download = latest};
        case SeriesDownload::Joined::kPublished:
          return Joining{};
        case SeriesDownload::Joined::kClosed:
          // It may have brought the instance since the cache was asked.
          if (!not_in_cache) return Joining{};
          break;
      }
    } else if (version.timestamp < running.timestamp && !version.timestamp.empty()) {
      return Fail(Errc::kStale, "the archive has a newer version of this series");
    } else {
      superseded = latest;
    }
  } else if (ended_ != ended_then) {
    return Joining{};  // likewise
  }
  Joining joining = Create(target, key, waiter);
  joining.superseded = std::move(superseded);
  return joining;
}

SeriesFetcher::Joining SeriesFetcher::Create(const SeriesTarget& target,
                                             const cache::SeriesKey& key, const WaiterPtr& waiter) {
  auto download = std::make_shared<SeriesDownload>(
      core_, *sources_[target.server], target, [this](const DownloadPtr& ended) { OnEnd(ended); },
      [this](const DownloadPtr& held_up) { return PutBack(held_up); });
  if (waiter) download->Join(waiter, true);
  downloads_[key].push_back(download);
  servers_[target.server].queue.push_back({download, std::nullopt});
  return {.download = std::move(download), .created = true};
}

SeriesFetcher::Ahead SeriesFetcher::FetchAhead(const SeriesTarget& target) {
  const Gate::Pass pass(core_->gate);
  if (!pass || !CheckTarget(target, {})) return Ahead::kNeedless;
  const source::Source& source = *sources_[target.server];
  const cache::SeriesKey key{source.scope(), target.record.series};
  const auto& version = target.record.version;
  if (core_->cache.Verified(key, version)) return Ahead::kNeedless;
  if (!source.answering() || !FitsWithoutEvicting(version)) return Ahead::kNotNow;
  {
    MutexLock lock(mutex_);
    if (downloads_.contains(key)) return Ahead::kNeedless;
    if (stopping_ || !HasRoomForMore(target.server)) return Ahead::kNotNow;
    if (core_->failures.Recall(key, source::SopUid(), version, source.recovered_at_ms()))
      return Ahead::kNotNow;
    Create(target, key, nullptr);
  }
  StartNext(target.server);
  return Ahead::kBegun;
}

// With what files take beyond their bytes, and something to spare.
bool SeriesFetcher::FitsWithoutEvicting(const source::SeriesVersion& version) const {
  if (version.total_bytes < 0 || version.image_count < 0) return false;
  const cache::Usage usage = core_->cache.usage();
  const int64_t free_bytes =
      std::min(usage.cap_bytes - usage.used_bytes, usage.disk_free_bytes - usage.free_floor_bytes) -
      usage.reserved_bytes;
  const int64_t share = kAheadSpareShare;
  return !usage.degraded && version.image_count < free_bytes / kAheadBytesPerInstance &&
         version.total_bytes <
             free_bytes - free_bytes / share - version.image_count * kAheadBytesPerInstance;
}

bool SeriesFetcher::HasRoomForMore(size_t server) const {
  for (const auto& [queue, running] : servers_) {
    if (!queue.empty()) return false;
    for (const auto& one : running)
      if (one.download->Unasked()) return false;
  }
  return static_cast<int64_t>(servers_[server].running.size()) < core_->options.downloads_max;
}

// Only after the waiter joined, and with no lock held: a stop already requested calls back here.
void SeriesFetcher::WatchStop(const DownloadPtr& download, const WaiterPtr& waiter,
                              std::stop_token stop) {
  waiter->on_stop.emplace(
      std::move(stop), [core = core_, weak_download = std::weak_ptr<SeriesDownload>(download),
                        weak_waiter = std::weak_ptr<Waiter>(waiter)] {
        const auto alive = core;  // this closure may go while it runs, with its waiter
        const Gate::Pass pass(alive->gate);
        if (!pass) return;  // Shutdown answers everybody
        const auto its_download = weak_download.lock();
        const auto stopped = weak_waiter.lock();
        if (its_download && stopped) its_download->Leave(stopped);
      });
}

bool SeriesFetcher::MayStart(const Queued& queued) const {
  if (queued.lacked_space_at == ended_) return false;
  const auto versions = downloads_.find(queued.download->key());
  return versions != downloads_.end() && versions->second.front() == queued.download;
}

void SeriesFetcher::StartNext(size_t server) {
  std::vector<DownloadPtr> starting;
  {
    MutexLock lock(mutex_);
    auto& [queue, running] = servers_[server];
    const auto downloads_max = static_cast<size_t>(std::max(core_->options.downloads_max, 0));
    for (auto next = queue.begin(); next != queue.end();) {
      if (running.size() >= downloads_max || stopping_) break;
      if (!MayStart(*next)) {
        ++next;
        continue;
      }
      running.push_back({next->download, ended_});
      starting.push_back(std::move(next->download));
      next = queue.erase(next);
    }
  }
  for (const auto& download : starting) download->Start();
  WatchQueues();
}

void SeriesFetcher::OnEnd(const DownloadPtr& download) {
  {
    MutexLock lock(mutex_);
    ++ended_;
    const auto found = downloads_.find(download->key());
    if (found == downloads_.end()) return;  // Shutdown emptied the table
    std::erase(found->second, download);
    if (found->second.empty()) downloads_.erase(found);
    const auto is_it = [&](const auto& entry) { return entry.download == download; };
    auto& [queue, running] = servers_[download->target().server];
    queue.remove_if(is_it);
    running.remove_if(is_it);
  }
  // All servers': they share the space of the cache.
  for (size_t server = 0; server < sources_.size(); ++server) StartNext(server);
}

bool SeriesFetcher::PutBack(const DownloadPtr& download) {
  const size_t server = download->target().server;
  {
    MutexLock lock(mutex_);
    auto& [queue, running] = servers_[server];
    const auto place = std::find_if(running.begin(), running.end(), [&](const Running& entry) {
      return entry.download == download;
    });
    if (stopping_ || place == running.end()) return false;
    size_t running_in_all = 0;
    for (const auto& any : servers_) running_in_all += any.running.size();
    // What ended since it started may have made the space.
    const uint64_t ended_then = place->ended_at_start;
    if (running_in_all <= 1 && ended_then == ended_) return false;
    running.erase(place);
    queue.push_front({download, ended_then});
  }
  StartNext(server);
  return true;
}

// ---- downloads nobody is interested in

// Sets the timer of MakeRoom while something is queued.
void SeriesFetcher::WatchQueues() {
  int64_t delay_ms = 0;
  {
    MutexLock lock(mutex_);
    const bool queued = std::any_of(servers_.begin(), servers_.end(),
                                    [](const Server& server) { return !server.queue.empty(); });
    if (watching_ || stopping_ || !queued) return;
    watching_ = true;
    delay_ms = UntilIdleMs();
  }
  core_->scheduler.After(delay_ms, core_->gate.Guard([this] {
    core_->executor.Post(core_->gate.Guard([this] { MakeRoom(); }));
  }));
}

// The least time in which a running download may have become idle for long enough.
int64_t SeriesFetcher::UntilIdleMs() const {
  int64_t until_ms = core_->options.linger_ms;
  for (const auto& server : servers_)
    for (const auto& running : server.running)
      until_ms = std::min(until_ms, core_->options.linger_ms - running.download->IdleMs());
  return std::max(until_ms, kIdleCheckMsMin);
}

void SeriesFetcher::MakeRoom() {
  std::vector<DownloadPtr> dispensable;
  {
    MutexLock lock(mutex_);
    watching_ = false;
    size_t lacking_space = 0;
    for (const auto& server : servers_)
      for (const auto& queued : server.queue)
        if (queued.lacked_space_at && queued.download->WaitedFor()) ++lacking_space;
    for (const auto& server : servers_) {
      const auto of_server = Dispensable(server, lacking_space);
      dispensable.insert(dispensable.end(), of_server.begin(), of_server.end());
    }
  }
  for (const auto& download : dispensable) download->EndIfIdle(core_->options.linger_ms);
  WatchQueues();
}

// The running downloads that have been idle for long enough, the longest first, as many as others
// wait for.
std::vector<DownloadPtr> SeriesFetcher::Dispensable(const Server& server,
                                                    size_t lacking_space) const {
  size_t places = lacking_space;
  for (const auto& queued : server.queue)
    if (MayStart(queued) && !queued.lacked_space_at && queued.download->WaitedFor()) ++places;
  std::vector<std::pair<int64_t, DownloadPtr>> idle;
  for (const auto& [download, ended_at_start] : server.running) {
    if (download->Ending()) {
      if (places > 0) --places;  // on its way
      continue;
    }
    const int64_t idle_ms = download->IdleMs();
    if (idle_ms >= core_->options.linger_ms) idle.emplace_back(idle_ms, download);
  }
  std::stable_sort(idle.begin(), idle.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (idle.size() > places) idle.resize(places);
  std::vector<DownloadPtr> dispensable;
  dispensable.reserve(idle.size());
  for (auto& [idle_ms, download] : idle) dispensable.push_back(std::move(download));
  return dispensable;
}

std::vector<DownloadStatus> SeriesFetcher::Downloads() const {
  std::vector<DownloadPtr> all;
  {
    MutexLock lock(mutex_);
    for (const auto& [key, versions] : downloads_)
      all.insert(all.end(), versions.begin(), versions.end());
  }
  std::vector<DownloadStatus> statuses;
  statuses.reserve(all.size());
  for (const auto& download : all) statuses.push_back(download->Snapshot());
  return statuses;
}

void SeriesFetcher::Shutdown() {
  std::vector<DownloadPtr> all;
  {
    const Gate::Pass pass(core_->gate);  // so that a second caller waits for these callbacks
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      for (const auto& [key, versions] : downloads_)
        all.insert(all.end(), versions.begin(), versions.end());
      downloads_.clear();
      for (auto& server : servers_) server = Server();
    }
    core_->gate.Close();
    for (const auto& download : all) download->Cancel(ShutDown());
  }
  core_->gate.WaitUntilEmpty();
  for (const auto& download : all) download->Abandon();
}

}  // namespace

std::unique_ptr<Fetcher> CreateSeriesFetcher(const FetchOptions& options,
                                             std::vector<source::Source*> sources,
                                             cache::BlockCache& cache, const Clock& clock,
                                             Executor& executor, Scheduler& scheduler) {
  return std::make_unique<SeriesFetcher>(
      std::move(sources), std::make_shared<FetchCore>(options, cache, clock, executor, scheduler));
}

}  // namespace tciafs::fetch
