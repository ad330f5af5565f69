// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/fetch_operations.h"

#include <algorithm>

#include "control/fetch_job.h"
#include "control/series_plan.h"
#include "tciafs/control/limits.h"

namespace tciafs::control {
namespace {

// The series at or below the paths of the request; tells where it looks, and at last what it found.
Status Plan(const Mounted& mounted, const Message& request, Answers& answers,
            SeriesPlanner& planner) {
  for (const std::string& path : request.All("path")) {
    TCIAFS_TRY(answers.Send(Message("looking").Add("path", path)));
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
  for (const std::string& path : request.All("path"))
    TCIAFS_TRY(planner.Add(path, request.Number("whole_archive") == 1, answers.stop()));
  const auto plans = planner.Plans();
  const auto pinned = std::count_if(
      plans.begin(), plans.end(), [&](const auto& plan) { return mounted.cache.Pinned(plan.key); });
  TCIAFS_TRY(mounted.cache.Pin(plans, false));
  return answers.Send(Message("unpinned").Add("series", static_cast<int64_t>(pinned)));
}

}  // namespace tciafs::control
