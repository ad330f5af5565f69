// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "http/host_lanes.h"

#include <algorithm>

namespace tciafs::http {

HostLanes::HostLanes(int downloads_max, int connections_max)
    : connections_max_(connections_max),
      downloads_max_(std::min(downloads_max, std::max(connections_max - 1, 1))) {}

void HostLanes::Enqueue(const std::string& origin, Lane lane, uint64_t id, Place place) {
  auto& queue = hosts_[origin].Queue(lane);
  if (place == Place::kFirst)
    queue.push_front(id);
  else
    queue.push_back(id);
}

void HostLanes::Withdraw(const std::string& origin, Lane lane, uint64_t id) {
  const auto host = hosts_.find(origin);
  if (host == hosts_.end()) return;
  std::erase(host->second.Queue(lane), id);
  ForgetIfIdle(host);
}

std::optional<uint64_t> HostLanes::StartNext() {
  for (auto& [origin, host] : hosts_) {
    const auto lane = LaneToStart(host);
    if (!lane) continue;
    auto& queue = host.Queue(*lane);
    const uint64_t id = queue.front();
    queue.pop_front();
    ++host.running;
    if (*lane == Lane::kDownload) ++host.running_downloads;
    return id;
  }
  return std::nullopt;
}

void HostLanes::Release(const std::string& origin, Lane lane) {
  const auto host = hosts_.find(origin);
  if (host == hosts_.end()) return;
  --host->second.running;
  if (lane == Lane::kDownload) --host->second.running_downloads;
  ForgetIfIdle(host);
}

std::optional<Lane> HostLanes::LaneToStart(const Host& host) const {
  if (host.running >= connections_max_) return std::nullopt;
  if (!host.metadata.empty()) return Lane::kMetadata;
  if (!host.downloads.empty() && host.running_downloads < downloads_max_) return Lane::kDownload;
  return std::nullopt;
}

void HostLanes::ForgetIfIdle(std::map<std::string, Host>::iterator host) {
  const Host& state = host->second;
  if (state.running == 0 && state.metadata.empty() && state.downloads.empty()) hosts_.erase(host);
}

}  // namespace tciafs::http
