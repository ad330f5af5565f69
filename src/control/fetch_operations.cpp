// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/fetch_operations.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "control/cached_series.h"
#include "control/fetch_job.h"
#include "control/series_plan.h"
#include "tciafs/catalog/names.h"
#include "tciafs/control/limits.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"
#include "tciafs/util/text.h"

namespace tciafs::control {
namespace {

// Tells whom the archive's answer is waited for while the thread that made it does that. Nobody
// else may send meanwhile.
class WaitTeller {
 public:
  WaitTeller(const Mounted& mounted, Answers& answers)
      : mounted_(mounted), answers_(answers), thread_([this] { Run(); }) {}
  ~WaitTeller() {
    {
      MutexLock lock(mutex_);
      over_ = true;
      wake_.NotifyAll();
    }
    thread_.join();
  }

 private:
  void Run() {
    const SystemClock clock;
    int64_t next_ms = clock.MonotonicMs() + kWaitingPauseMs;
    MutexLock lock(mutex_);
    while (!over_) {
      const int64_t left_ms = next_ms - clock.MonotonicMs();
      if (left_ms > 0) {
        wake_.WaitFor(mutex_, std::chrono::milliseconds(left_ms));
        continue;
      }
      next_ms += kWaitingPauseMs;
      (void)answers_.Send(Message("waiting").Add("for", WaitedFor()));  // who left is found out
    }
  }

  // Those in trouble and why, or all: it is one of them.
  std::string WaitedFor() const {
    std::string all;
    std::string in_trouble;
    for (const catalog::ServerHealth& server : mounted_.catalog.Health()) {
      all += (all.empty() ? "" : ", ") + server.name;
      const std::string& reason = server.status.reason;
      if (server.status.state == source::ServerStatus::State::kOk || reason.empty()) continue;
      const bool named = reason.starts_with(server.name + ": ");
      in_trouble +=
          (in_trouble.empty() ? "" : "; ") + (named ? reason : server.name + ": " + reason);
    }
    return in_trouble.empty() ? all : in_trouble;
  }

  const Mounted& mounted_;
  Answers& answers_;
  Mutex mutex_;
  CondVar wake_;
  bool over_ TCIAFS_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// The series at or below the paths of the request; tells where it looks, and at last what it found.
Status Plan(const Mounted& mounted, const Message& request, Answers& answers,
            SeriesPlanner& planner) {
  for (const std::string& path : request.All("path")) {
    TCIAFS_TRY(answers.Send(Message("looking").Add("path", path)));
    const WaitTeller teller(mounted, answers);
    TCIAFS_TRY(planner.Add(path, request.Number("whole_archive") == 1, answers.stop()));
  }
  const SeriesTotals totals = planner.Totals();
  const cache::RoomFor room = mounted.cache.CheckRoom(planner.Plans());
  return answers.Send(Message("plan")
                          .Add("series", totals.series)
                          .Add("images", totals.images)
                          .Add("bytes", totals.size_bytes)
                          .Add("of_unknown_size", totals.of_unknown_size)
                          .Add("here_series", totals.here_series)
                          .Add("here_bytes", totals.here_bytes)
                          .Add("needed_bytes", room.needed_bytes)
                          .Add("room_bytes", room.room_bytes));
}

Status Fetch(const Mounted& mounted, const Message& request, const SeriesPlanner& planner,
             Answers& answers) {
  const int64_t at_once = request.Number("jobs", mounted.downloads_max);
  const auto bounded = static_cast<int>(std::clamp<int64_t>(at_once, 1, kJobsMax));
  return FetchJob(mounted, planner.series(), bounded, answers).Run();
}

std::vector<cache::SeriesPlan> PinsOf(const Mounted& mounted, std::string_view series_uid) {
  std::vector<cache::SeriesPlan> pins;
  for (const cache::CachedSeries& cached : mounted.cache.Cached())
    if (cached.pinned && cached.key.series.text() == series_uid)
      pins.push_back({cached.key, cached.version});
  return pins;
}

// The pins on a series that a path names, or an instance of which, and that no listing has.
Result<std::vector<cache::SeriesPlan>> UnlistedPinsOf(const Mounted& mounted,
                                                      const std::string& path,
                                                      std::stop_token stop) {
  TCIAFS_ASSIGN(const auto placed, PlaceCachedSeries(mounted, std::move(stop)));
  std::set<std::string> named;
  for (const std::string_view name : SplitText(path, '/'))
    if (const auto id = catalog::DecodeName(name)) named.insert(*id);
  std::vector<cache::SeriesPlan> pins;
  for (const PlacedSeries& series : placed)
    if (series.path.empty() && series.cached.pinned &&
        named.contains(series.cached.key.series.text()))
      pins.push_back({series.cached.key, series.cached.version});
  return pins;
}

}  // namespace

Status FetchPaths(const Mounted& mounted, const Message& request, Answers& answers) {
  SeriesPlanner planner(mounted);
  TCIAFS_TRY(Plan(mounted, request, answers, planner));
  TCIAFS_TRY(CheckFits(mounted.cache, planner.Plans(), /*for_ever=*/false));
  return Fetch(mounted, request, planner, answers);
}

Status PinPaths(const Mounted& mounted, const Message& request, Answers& answers) {
  SeriesPlanner planner(mounted);
  TCIAFS_TRY(Plan(mounted, request, answers, planner));
  const auto plans = planner.Plans();
  TCIAFS_TRY(CheckFits(mounted.cache, plans, /*for_ever=*/true));
  TCIAFS_TRY(mounted.cache.Pin(plans, true));
  TCIAFS_TRY(answers.Send(Message("pinned").Add("series", static_cast<int64_t>(plans.size()))));
  return request.Number("only_mark") == 1 ? Status() : Fetch(mounted, request, planner, answers);
}

Status UnpinPaths(const Mounted& mounted, const Message& request, Answers& answers) {
  SeriesPlanner planner(mounted);
  std::vector<cache::SeriesPlan> unlisted;
  for (const std::string& path : request.All("path")) {
    const Status added = planner.Add(path, request.Number("whole_archive") == 1, answers.stop());
    if (added) continue;
    if (added.error().code != Errc::kNotFound) return added;
    // The archive may have dropped what is pinned.
    TCIAFS_ASSIGN(auto pins, UnlistedPinsOf(mounted, path, answers.stop()));
    if (pins.empty()) return added;
    for (cache::SeriesPlan& pin : pins) unlisted.push_back(std::move(pin));
  }
  for (const std::string& uid : request.All("series")) {
    const auto pins = PinsOf(mounted, uid);
    if (pins.empty()) return Fail(Errc::kNotFound, uid + ": no such series is pinned");
    unlisted.insert(unlisted.end(), pins.begin(), pins.end());
  }
  auto plans = planner.Plans();
  plans.insert(plans.end(), unlisted.begin(), unlisted.end());
  const auto pinned = std::count_if(
      plans.begin(), plans.end(), [&](const auto& plan) { return mounted.cache.Pinned(plan.key); });
  TCIAFS_TRY(mounted.cache.Pin(plans, false));
  return answers.Send(Message("unpinned").Add("series", static_cast<int64_t>(pinned)));
}

}  // namespace tciafs::control
