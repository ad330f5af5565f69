// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/read_ahead.h"

#include <optional>

#include "vfs/instances.h"

namespace tciafs::vfs {
namespace {

using catalog::Level;
using catalog::ObjectPath;

// The series that follows these two in the listing of the study; nullopt if they do not stand side
// by side in it, or none does.
std::optional<ObjectPath> Following(const catalog::Catalog& catalog, const ObjectPath& study,
                                    const source::SeriesUid& before,
                                    const source::SeriesUid& current) {
  const auto rows = catalog.Rows(study, Level::kSeries);
  if (!rows) return std::nullopt;
  std::optional<ObjectPath> following;
  source::SeriesUid last;
  const Status read = (*rows)->ForEach([&](const catalog::Row& row) {
    if (last == current) following = row.path;
    const bool go_on = row.path.series != current || last == before;
    last = row.path.series;
    return go_on && !following;
  });
  return read ? following : std::nullopt;
}

}  // namespace

void FollowReader(const ContextRef& context, NodeId node) {
  const auto copy = context->nodes.Find(node);
  if (!copy || !copy->is_file()) return;
  const auto series = ResolveSeries(*context, copy->path);
  if (!series) return;
  const auto before =
      context->reading_order.NoteReadToEnd(copy->path, (*series)->version().image_count);
  if (!before) return;
  const ObjectPath study = copy->path.At(Level::kStudy);
  const auto next = Following(context->catalog, study, *before, copy->path.series);
  if (next) {
    const auto target = ResolveSeries(*context, *next);
    if (target) {
      const auto ahead = context->fetcher.FetchAhead((*target)->target);
      if (ahead == fetch::Fetcher::Ahead::kNotNow) return;  // perhaps at the next instance
      if (ahead == fetch::Fetcher::Ahead::kBegun) context->reading_order.Follow(*next);
    }
  }
  context->reading_order.Settle(copy->path);
}

}  // namespace tciafs::vfs
