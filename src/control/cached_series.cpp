// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/cached_series.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "control/resolve.h"

namespace tciafs::control {
namespace {

using Wanted = std::map<cache::SeriesKey, PlacedSeries*>;

void PlaceThoseOf(const catalog::Catalog& catalog, const catalog::ObjectPath& collection,
                  const std::string& scope, Wanted& wanted) {
  const auto rows = catalog.Rows(collection, catalog::Level::kSeries);
  if (!rows) return;  // nothing of it was ever listed
  (void)(*rows)->ForEach([&](const catalog::Row& row) {
    const auto found = wanted.find({scope, row.path.series});
    if (found != wanted.end()) {
      found->second->path = row.path.Text();
      wanted.erase(found);
    }
    return !wanted.empty();
  });
}

// "/a/b" is in "/a", not in "/ab".
bool IsIn(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// "//a/./b/" is "/a/b"; the root is "".
std::string Tidied(std::string_view path) {
  std::string tidied;
  while (!path.empty()) {
    const std::string_view name = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(name.size() + 1, path.size()));
    if (!name.empty() && name != ".") tidied += "/" + std::string(name);
  }
  return tidied;
}

}  // namespace

std::string PlacedSeries::Name() const {
  if (!path.empty()) return path;
  return cached.key.scope + " " + cached.key.series.text();
}

Result<std::vector<PlacedSeries>> PlaceCachedSeries(const Mounted& mounted, std::stop_token stop) {
  std::vector<PlacedSeries> placed;
  for (cache::CachedSeries& cached : mounted.cache.Cached())
    placed.push_back({std::move(cached), ""});
  Wanted wanted;
  for (PlacedSeries& series : placed) wanted[series.cached.key] = &series;
  if (wanted.empty()) return placed;
  const auto servers = mounted.catalog.Health();
  const auto root = ListAwait(mounted.catalog, {}, stop);
  if (!root) return placed;
  for (const catalog::Entry& entry : root->listing->entries) {
    if (stop.stop_requested()) return Fail(Errc::kCancelled, "interrupted");
    TCIAFS_ASSIGN(const auto collection, PathOf({}, entry));
    if (entry.server < servers.size())
      PlaceThoseOf(mounted.catalog, collection, servers[entry.server].scope, wanted);
    if (wanted.empty()) break;
  }
  return placed;
}

Result<std::vector<PlacedSeries>> CachedSeriesOf(const Mounted& mounted, const Message& request,
                                                 std::stop_token stop) {
  TCIAFS_ASSIGN(auto all, PlaceCachedSeries(mounted, std::move(stop)));
  if (!request.Has("path") && !request.Has("series")) return all;
  std::vector<bool> named(all.size(), false);
  const auto mark = [&](const std::string& what, const auto& is_named) -> Status {
    bool found = false;
    for (size_t i = 0; i < all.size(); ++i) {
      if (!is_named(all[i])) continue;
      named[i] = true;
      found = true;
    }
    if (found) return {};
    return Fail(Errc::kNotFound, what + ": nothing of it is in the cache");
  };
  for (const std::string& path : request.All("path")) {
    const std::string tidied = Tidied(path);
    TCIAFS_TRY(mark(path, [&tidied](const PlacedSeries& series) {
      if (series.path.empty()) return tidied.empty();
      return IsIn(series.path, tidied) || IsIn(tidied, series.path);
    }));
  }
  for (const std::string& uid : request.All("series"))
    TCIAFS_TRY(mark(uid, [&uid](const PlacedSeries& series) {
      return series.cached.key.series.text() == uid;
    }));
  std::vector<PlacedSeries> chosen;
  for (size_t i = 0; i < all.size(); ++i)
    if (named[i]) chosen.push_back(std::move(all[i]));
  return chosen;
}

}  // namespace tciafs::control
