// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/status_report.h"

#include <fmt/core.h>

#include <ctime>

#include "vfs/json_writer.h"

namespace tciafs::vfs {
namespace {

const char* StateName(source::ServerStatus::State state) {
  switch (state) {
    case source::ServerStatus::State::kOk:
      return "ok";
    case source::ServerStatus::State::kFailing:
      return "failing";
    case source::ServerStatus::State::kOffline:
      return "offline";
  }
  return "ok";
}

// Null where there is nothing to tell.
void TextMember(JsonWriter& json, std::string_view name, const std::string& text) {
  text.empty() ? json.NullMember(name) : json.Member(name, text);
}
void TimeMember(JsonWriter& json, std::string_view name, int64_t unix_ms) {
  unix_ms <= 0 ? json.NullMember(name) : json.Member(name, UtcText(unix_ms));
}
void KnownMember(JsonWriter& json, std::string_view name, int64_t number) {
  number < 0 ? json.NullMember(name) : json.Member(name, number);
}

void WriteServer(JsonWriter& json, const catalog::ServerHealth& server) {
  const source::ServerStatus& status = server.status;
  json.BeginObject();
  json.Member("name", server.name);
  TextMember(json, "url", status.url);
  json.Member("scope", server.scope);
  TextMember(json, "api", status.api);
  json.Member("state", StateName(status.state));
  TimeMember(json, "since", status.since_unix_ms);
  TextMember(json, "reason", status.reason);
  json.Key("retry_in_s");
  status.retry_in_ms < 0 ? json.Null() : json.Seconds(status.retry_in_ms);
  json.Key("last_error");
  if (status.last_error.empty()) {
    json.Null();
  } else {
    json.BeginObject();
    TimeMember(json, "time", status.last_error_unix_ms);
    json.Member("reason", status.last_error);
    json.EndObject();
  }
  json.EndObject();
}

void WriteDownload(JsonWriter& json, const fetch::DownloadStatus& download) {
  const source::SeriesRecord& record = download.record;
  catalog::ObjectPath path;
  path.level = catalog::Level::kSeries;
  path.collection = record.collection;
  path.patient = record.patient;
  path.study = record.study;
  path.series = record.series;
  json.BeginObject();
  json.Member("server", download.server);
  json.Member("path", path.Text());
  json.Member("series", record.series.text());
  json.Member("state", download.started ? "started" : "queued");
  json.Member("bytes_received", download.bytes_received);
  KnownMember(json, "bytes_expected", download.bytes_expected);
  const int64_t streaming_ms = download.streaming_ms;
  json.Member("bytes_per_s", streaming_ms > 0 ? download.bytes_received * 1000 / streaming_ms : 0);
  json.Member("instances", download.instances_published);
  KnownMember(json, "instances_expected", record.version.image_count);
  json.Member("waiters", download.waiters);
  json.EndObject();
}

void WriteCache(JsonWriter& json, const Context& context) {
  const cache::Usage usage = context.cache.usage();
  json.BeginObject();
  json.Member("used_bytes", usage.used_bytes);
  json.Member("reserved_bytes", usage.reserved_bytes);
  json.Member("cap_bytes", usage.cap_bytes);
  json.Member("free_floor_bytes", usage.free_floor_bytes);
  json.Member("disk_free_bytes", usage.disk_free_bytes);
  json.Member("series", usage.series);
  json.Member("series_pinned", usage.series_pinned);
  json.Member("instances", usage.instances);
  json.Member("hits", context.cache_hits.load());
  json.Member("misses", context.cache_misses.load());
  json.Member("reads", context.reads.load());
  json.Member("degraded", usage.degraded);
  json.EndObject();
}

void WriteError(JsonWriter& json, const RecentError& recent) {
  json.BeginObject();
  json.Member("time", UtcText(recent.last_unix_ms));
  json.Member("path", recent.path);
  json.Member("error", ErrcName(recent.error.code));
  json.Member("reason", recent.error.message);
  json.Member("count", recent.count);
  json.EndObject();
}

template <typename Rows, typename Write>
void WriteArray(JsonWriter& json, std::string_view name, const Rows& rows, Write write) {
  json.Key(name);
  json.BeginArray();
  for (const auto& row : rows) write(json, row);
  json.EndArray();
}

}  // namespace

std::string UtcText(int64_t unix_ms) {
  const auto seconds = static_cast<time_t>(unix_ms / 1000);
  tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     unix_ms % 1000);
}

std::string StatusReport(const Context& context) {
  JsonWriter json;
  json.BeginObject();
  json.Member("version", context.options.version);
  json.Member("time", UtcText(context.clock.UnixMs()));
  json.Key("uptime_s");
  json.Seconds(context.clock.MonotonicMs() - context.started_ms);
  json.Member("offline", context.options.offline);
  WriteArray(json, "servers", context.catalog.Health(), WriteServer);
  WriteArray(json, "downloads", context.fetcher.Downloads(), WriteDownload);
  json.Key("cache");
  WriteCache(json, context);
  WriteArray(json, "recent_errors", context.recent_errors.Get(), WriteError);
  json.EndObject();
  return json.Take();
}

}  // namespace tciafs::vfs
