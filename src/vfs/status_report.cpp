// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/status_report.h"

#include <fmt/core.h>

#include <ctime>

#include "vfs/json_writer.h"

namespace tciafs::vfs {
namespace {

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
  json.Member("state", source::StateName(status.state));
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
  json.BeginObject();
  json.Member("server", download.server);
  json.Member("path", PathOfDownload(download).Text());
  json.Member("series", download.record.series.text());
  json.Member("state", download.started ? "started" : "queued");
  json.Member("bytes_received", download.bytes_received);
  KnownMember(json, "bytes_expected", download.bytes_expected);
  const int64_t streaming_ms = download.streaming_ms;
  json.Member("bytes_per_s", streaming_ms > 0 ? download.bytes_received * 1000 / streaming_ms : 0);
  json.Member("instances", download.instances_published);
  KnownMember(json, "instances_expected", download.record.version.image_count);
  json.Member("waiters", download.waiters);
  json.EndObject();
}

void WriteCache(JsonWriter& json, const MountStatus& status) {
  const cache::Usage& usage = status.cache;
  json.BeginObject();
  json.Member("used_bytes", usage.used_bytes);
  json.Member("reserved_bytes", usage.reserved_bytes);
  json.Member("cap_bytes", usage.cap_bytes);
  json.Member("free_floor_bytes", usage.free_floor_bytes);
  json.Member("disk_free_bytes", usage.disk_free_bytes);
  json.Member("series", usage.series);
  json.Member("series_pinned", usage.series_pinned);
  json.Member("instances", usage.instances);
  json.Member("hits", status.cache_hits);
  json.Member("misses", status.cache_misses);
  json.Member("reads", status.reads);
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

catalog::ObjectPath PathOfDownload(const fetch::DownloadStatus& download) {
  return catalog::ObjectPath::OfSeries(download.record, /*server=*/0);
}

MountStatus TakeStatus(const Context& context) {
  MountStatus status;
  status.version = context.options.version;
  status.mountpoint = context.options.mountpoint;
  status.offline = context.options.offline;
  status.unix_ms = context.clock.UnixMs();
  status.uptime_ms = context.clock.MonotonicMs() - context.started_ms;
  status.servers = context.catalog.Health();
  status.downloads = context.fetcher.Downloads();
  status.cache = context.cache.usage();
  status.cache_hits = context.cache_hits;
  status.cache_misses = context.cache_misses;
  status.reads = context.reads;
  status.recent_errors = context.recent_errors.Get();
  return status;
}

std::string StatusReport(const MountStatus& status) {
  JsonWriter json;
  json.BeginObject();
  json.Member("version", status.version);
  TextMember(json, "mountpoint", status.mountpoint);
  json.Member("time", UtcText(status.unix_ms));
  json.Key("uptime_s");
  json.Seconds(status.uptime_ms);
  json.Member("offline", status.offline);
  WriteArray(json, "servers", status.servers, WriteServer);
  WriteArray(json, "downloads", status.downloads, WriteDownload);
  json.Key("cache");
  WriteCache(json, status);
  WriteArray(json, "recent_errors", status.recent_errors, WriteError);
  json.EndObject();
  return json.Take();
}

}  // namespace tciafs::vfs
