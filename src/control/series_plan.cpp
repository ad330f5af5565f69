// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/series_plan.h"

#include <fmt/core.h>

#include <utility>

#include "control/await.h"
#include "control/resolve.h"
#include "tciafs/util/text.h"

namespace tciafs::control {
namespace {

using catalog::Level;
using catalog::ObjectPath;

// What keeps the room small: the cap, or the disk.
std::string WhereTheRoomEnds(const cache::Usage& usage, const cache::RoomFor& room) {
  std::string taken;
  if (room.pinned_bytes > 0) taken += FormatSize(room.pinned_bytes) + " are pinned";
  if (room.in_use_bytes > 0)
    taken += (taken.empty() ? "" : ", ") + FormatSize(room.in_use_bytes) + " in use";
  if (!taken.empty()) taken = "; " + taken;
  const int64_t below_cap = usage.cap_bytes - usage.used_bytes;
  const int64_t above_floor = usage.disk_free_bytes - usage.free_floor_bytes;
  if (above_floor < below_cap)
    return fmt::format("the disk has {} free and keeps {} (--min-free){}",
                       FormatSize(usage.disk_free_bytes), FormatSize(usage.free_floor_bytes),
                       taken);
  return fmt::format("the cache may take {} (--cache-size){}", FormatSize(usage.cap_bytes), taken);
}

}  // namespace

SeriesPlanner::SeriesPlanner(const Mounted& mounted) : mounted_(mounted) {
  for (const auto& server : mounted.catalog.Health()) scopes_.push_back(server.scope);
}

Status SeriesPlanner::Add(const std::string& path, bool whole_archive, std::stop_token stop) {
  TCIAFS_ASSIGN(const ObjectPath object, Resolve(mounted_.catalog, path, stop));
  switch (object.level) {
    case Level::kRoot: {
      if (!whole_archive)
        return Fail(Errc::kInvalidArgument, "this is the whole archive; name what you want of it");
      TCIAFS_ASSIGN(const auto root, ListAwait(mounted_.catalog, object, stop));
      for (const catalog::Entry& entry : root.listing->entries) {
        TCIAFS_ASSIGN(const ObjectPath collection, PathOf(object, entry));
        TCIAFS_TRY(AddBelow(collection, stop));
      }
      return {};
    }
    case Level::kInstance:
    case Level::kSeries:
      return AddSeries(object.At(Level::kSeries));
    case Level::kCollection:
    case Level::kPatient:
    case Level::kStudy:
      return AddBelow(object, std::move(stop));
  }
  return {};
}

Status SeriesPlanner::AddBelow(const ObjectPath& directory, std::stop_token stop) {
  TCIAFS_TRY(Await<void>([&](Callback<void> done) {
    mounted_.catalog.ListBelow(directory, Level::kSeries, std::move(stop), std::move(done));
  }));
  std::vector<ObjectPath> paths;
  {
    TCIAFS_ASSIGN(const auto rows, mounted_.catalog.Rows(directory, Level::kSeries));
    TCIAFS_TRY(rows->ForEach([&paths](const catalog::Row& row) {
      paths.push_back(row.path);
      return true;
    }));
  }
  for (const ObjectPath& path : paths) TCIAFS_TRY(AddSeries(path));
  return {};
}

Status SeriesPlanner::AddSeries(const ObjectPath& path) {
  if (path.server >= scopes_.size())
    return Fail(Errc::kInternal, path.Text() + ": its server is not configured");
  auto record = mounted_.catalog.Series(path);
  if (!record) return Fail(record.error().Within(path.Text()));
  if (record->version.image_count == 0) return {};  // it holds nothing
  PlannedSeries planned{path, {{scopes_[path.server], path.series}, record->version}, false};
  if (!keys_.insert(planned.plan.key).second) return {};
  planned.here = mounted_.cache.Verified(planned.plan.key, planned.plan.version);
  series_.push_back(std::move(planned));
  return {};
}

std::vector<cache::SeriesPlan> SeriesPlanner::Plans() const {
  std::vector<cache::SeriesPlan> plans;
  plans.reserve(series_.size());
  for (const PlannedSeries& planned : series_) plans.push_back(planned.plan);
  return plans;
}

SeriesTotals SeriesPlanner::Totals() const {
  SeriesTotals totals;
  for (const PlannedSeries& planned : series_) {
    const auto& version = planned.plan.version;
    ++totals.series;
    totals.images += std::max<int64_t>(version.image_count, 0);
    totals.size_bytes += std::max<int64_t>(version.total_bytes, 0);
    totals.of_unknown_size += version.total_bytes < 0 ? 1 : 0;
    if (!planned.here) continue;
    ++totals.here_series;
    totals.here_bytes += std::max<int64_t>(version.total_bytes, 0);
  }
  return totals;
}

Status CheckFits(const cache::BlockCache& cache, const std::vector<cache::SeriesPlan>& plans,
                 bool for_ever) {
  const cache::RoomFor room = cache.CheckRoom(plans);
  const int64_t needed_bytes = room.needed_bytes + (for_ever ? room.pinned_lack_bytes : 0);
  if (needed_bytes <= room.room_bytes) return {};
  std::string needed = FormatSize(needed_bytes) + " are still to come";
  if (for_ever && room.pinned_lack_bytes > 0)
    needed += ", " + FormatSize(room.pinned_lack_bytes) + " of them of what is pinned already,";
  return Fail(Errc::kNoSpace,
              fmt::format("does not fit: {} and there is room for {}: {}", needed,
                          FormatSize(room.room_bytes), WhereTheRoomEnds(cache.usage(), room)));
}

}  // namespace tciafs::control
