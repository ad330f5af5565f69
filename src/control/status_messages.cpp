// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/status_messages.h"

#include <algorithm>
#include <string_view>

#include "tciafs/util/result.h"

namespace tciafs::control {
namespace {

void AddKnown(Message& message, std::string_view name, int64_t number) {
  if (number >= 0) message.Add(name, number);
}

Message ServerMessage(const catalog::ServerHealth& server) {
  const source::ServerStatus& status = server.status;
  Message message("server");
  message.Add("name", server.name).Add("url", status.url).Add("api", status.api);
  message.Add("state", source::StateName(status.state)).Add("reason", status.reason);
  message.Add("since_unix_ms", status.since_unix_ms);
  AddKnown(message, "retry_in_ms", status.retry_in_ms);
  message.Add("last_error", status.last_error);
  message.Add("last_error_unix_ms", status.last_error_unix_ms);
  const bool answered =
      status.image_bytes > 0 || std::any_of(status.requests.begin(), status.requests.end(),
                                            [](const auto& requests) { return !requests.failure; });
  message.Add("answered", answered ? 1 : 0);
  // What listing has met since it was last answered.
  if (!server.last_error.empty())
    message.Add("trouble", server.last_error).Add("code", ErrcName(server.last_error_code));
  return message;
}

Message DownloadMessage(const fetch::DownloadStatus& download) {
  Message message("download");
  message.Add("server", download.server).Add("path", vfs::PathOfDownload(download).Text());
  message.Add("state", download.started ? "started" : "queued");
  message.Add("received_bytes", download.bytes_received);
  AddKnown(message, "expected_bytes", download.bytes_expected);
  message.Add("streaming_ms", download.streaming_ms);
  message.Add("instances", download.instances_published);
  AddKnown(message, "expected_instances", download.record.version.image_count);
  message.Add("waiters", static_cast<int64_t>(download.waiters));
  return message;
}

Message CacheMessage(const vfs::MountStatus& status) {
  const cache::Usage& usage = status.cache;
  Message message("cache");
  message.Add("used_bytes", usage.used_bytes).Add("reserved_bytes", usage.reserved_bytes);
  message.Add("cap_bytes", usage.cap_bytes).Add("disk_free_bytes", usage.disk_free_bytes);
  message.Add("series", usage.series).Add("series_pinned", usage.series_pinned);
  message.Add("instances", usage.instances).Add("degraded", usage.degraded ? 1 : 0);
  message.Add("hits", status.cache_hits).Add("misses", status.cache_misses);
  return message;
}

Message ErrorMessage(const vfs::RecentError& recent) {
  Message message("error");
  message.Add("unix_ms", recent.last_unix_ms).Add("path", recent.path);
  message.Add("code", ErrcName(recent.error.code)).Add("reason", recent.error.message);
  message.Add("count", recent.count);
  return message;
}

}  // namespace

std::vector<Message> StatusMessages(const vfs::MountStatus& status) {
  std::vector<Message> messages;
  messages.push_back(Message("mount")
                         .Add("version", status.version)
                         .Add("mountpoint", status.mountpoint)
                         .Add("offline", status.offline ? 1 : 0)
                         .Add("unix_ms", status.unix_ms)
                         .Add("uptime_ms", status.uptime_ms));
  for (const auto& server : status.servers) messages.push_back(ServerMessage(server));
  for (const auto& download : status.downloads) messages.push_back(DownloadMessage(download));
  messages.push_back(CacheMessage(status));
  for (const auto& recent : status.recent_errors) messages.push_back(ErrorMessage(recent));
  return messages;
}

}  // namespace tciafs::control
