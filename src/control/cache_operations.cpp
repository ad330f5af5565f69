// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/cache_operations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "control/cached_series.h"
#include "tciafs/control/limits.h"
#include "tciafs/util/clock.h"

namespace tciafs::control {
namespace {

Message SeriesMessage(const PlacedSeries& series) {
  const cache::CachedSeries& cached = series.cached;
  Message message("series");
  message.Add("path", series.path).Add("scope", cached.key.scope);
  message.Add("series", cached.key.series.text());
  message.Add("size_bytes", cached.disk_bytes).Add("instances", cached.instances);
  if (cached.version.image_count >= 0)
    message.Add("expected_instances", cached.version.image_count);
  message.Add("verified", cached.verified ? 1 : 0).Add("pinned", cached.pinned ? 1 : 0);
  message.Add("in_use", cached.in_use ? 1 : 0).Add("last_use_unix_ms", cached.last_use_unix_ms);
  return message;
}

// What a pass over the cache has found so far, told now and then.
struct Progress {
  Answers& answers;
  int64_t whole_bytes = 0;
  int64_t done_bytes = 0;
  int64_t series = 0;
  int64_t instances = 0;
  int64_t bad = 0;
  int64_t told_ms = 0;

  Status Tell(const std::string& path) {
    const int64_t now_ms = SystemClock().MonotonicMs();
    if (now_ms - told_ms < kProgressPauseMs) return {};
    told_ms = now_ms;
    return answers.Send(Message("progress")
                            .Add("path", path)
                            .Add("done_bytes", done_bytes)
                            .Add("whole_bytes", whole_bytes));
  }
};

Status VerifySeries(const Mounted& mounted, const PlacedSeries& series, Progress& progress) {
  const cache::CachedSeries& cached = series.cached;
  for (const cache::KnownInstance& known : mounted.cache.Known(cached.key, cached.version)) {
    if (!known.cached) continue;
    TCIAFS_TRY(progress.Tell(series.Name()));
    const Status checked =
        mounted.cache.CheckIntact(cached.key, known.sop, progress.answers.stop());
    progress.done_bytes += known.size_bytes;
    if (!checked && checked.error().code == Errc::kNotFound) continue;  // evicted meanwhile
    if (!checked && checked.error().code != Errc::kCorrupt) return checked;
    ++progress.instances;
    if (checked) continue;
    ++progress.bad;
    TCIAFS_TRY(progress.answers.Send(Message("bad")
                                         .Add("path", series.Name())
                                         .Add("sop", known.sop.text())
                                         .Add("reason", checked.error().message)));
  }
  ++progress.series;
  return {};
}

// What was evicted, and what was kept and why.
class Evicting {
 public:
  Evicting(const Mounted& mounted, Answers& answers) : mounted_(mounted), answers_(answers) {}

  Status Evict(const PlacedSeries& series) {
    if (answers_.stop().stop_requested()) return Fail(Errc::kCancelled, "interrupted");
    const Status evicted = mounted_.cache.Evict(series.cached.key);
    if (!evicted && evicted.error().code == Errc::kNotFound) return {};  // gone by itself, or a pin
    if (!evicted) return Keep(series, "failed", evicted.error().message);
    ++evicted_;
    freed_bytes_ += series.cached.disk_bytes;
    return answers_.Send(Message("evicted")
                             .Add("path", series.Name())
                             .Add("size_bytes", series.cached.disk_bytes)
                             .Add("pinned", series.cached.pinned ? 1 : 0));
  }
  Status Keep(const PlacedSeries& series, std::string_view why, const std::string& reason) {
    return answers_.Send(
        Message("kept").Add("path", series.Name()).Add("why", why).Add("reason", reason));
  }
  Status Summary() {
    return answers_.Send(Message("freed").Add("series", evicted_).Add("size_bytes", freed_bytes_));
  }

 private:
  const Mounted& mounted_;
  Answers& answers_;
  int64_t evicted_ = 0;
  int64_t freed_bytes_ = 0;
};

}  // namespace

Status TellCache(const Mounted& mounted, const Message&, Answers& answers) {
  const cache::Usage usage = mounted.cache.usage();
  Message message("cache");
  message.Add("used_bytes", usage.used_bytes).Add("reserved_bytes", usage.reserved_bytes);
  message.Add("cap_bytes", usage.cap_bytes).Add("free_floor_bytes", usage.free_floor_bytes);
  message.Add("disk_free_bytes", usage.disk_free_bytes).Add("series", usage.series);
  message.Add("series_pinned", usage.series_pinned).Add("instances", usage.instances);
  message.Add("degraded", usage.degraded ? 1 : 0);
  return answers.Send(message);
}

Status ListCache(const Mounted& mounted, const Message& request, Answers& answers) {
  TCIAFS_ASSIGN(const auto all, PlaceCachedSeries(mounted, answers.stop()));
  for (const PlacedSeries& series : all) {
    if (request.Number("pinned") == 1 && !series.cached.pinned) continue;
    TCIAFS_TRY(answers.Send(SeriesMessage(series)));
  }
  return {};
}

Status VerifyCache(const Mounted& mounted, const Message& request, Answers& answers) {
  TCIAFS_ASSIGN(const auto chosen, CachedSeriesOf(mounted, request, answers.stop()));
  Progress progress{answers};
  for (const PlacedSeries& series : chosen) progress.whole_bytes += series.cached.disk_bytes;
  for (const PlacedSeries& series : chosen)
    if (series.cached.instances > 0) TCIAFS_TRY(VerifySeries(mounted, series, progress));
  return answers.Send(Message("checked")
                          .Add("series", progress.series)
                          .Add("instances", progress.instances)
                          .Add("size_bytes", progress.done_bytes)
                          .Add("bad", progress.bad));
}

Status EvictFromCache(const Mounted& mounted, const Message& request, Answers& answers) {
  TCIAFS_ASSIGN(const auto chosen, CachedSeriesOf(mounted, request, answers.stop()));
  const bool named = request.Has("path") || request.Has("series");
  const bool pinned_too = request.Number("pinned") == 1;
  const int64_t age_ms = request.Number("older_than_ms");
  const int64_t to_bytes = request.Number("to_bytes");
  const int64_t now_ms = SystemClock().UnixMs();
  Evicting evicting(mounted, answers);
  for (const PlacedSeries& series : chosen) {
    const cache::CachedSeries& cached = series.cached;
    if (age_ms >= 0 && now_ms - cached.last_use_unix_ms < age_ms) continue;
    if (to_bytes >= 0 && mounted.cache.usage().used_bytes <= to_bytes) break;
    if (cached.disk_bytes == 0) continue;  // a pin, and nothing of it here
    if (cached.pinned && !pinned_too) {
      TCIAFS_TRY(evicting.Keep(series, "pinned", "pinned"));
    } else if (cached.in_use && !named) {
      TCIAFS_TRY(evicting.Keep(series, "in_use", "being read or fetched"));
    } else {
      TCIAFS_TRY(evicting.Evict(series));
    }
  }
  return evicting.Summary();
}

Status ClearCache(const Mounted& mounted, const Message& request, Answers& answers) {
  TCIAFS_ASSIGN(const auto all, PlaceCachedSeries(mounted, answers.stop()));
  Evicting evicting(mounted, answers);
  for (const PlacedSeries& series : all) {
    if (series.cached.disk_bytes == 0) continue;
    if (series.cached.pinned && request.Number("keep_pinned") == 1) {
      TCIAFS_TRY(evicting.Keep(series, "pinned", "pinned"));
    } else {
      TCIAFS_TRY(evicting.Evict(series));
    }
  }
  return evicting.Summary();
}

}  // namespace tciafs::control
