// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Who may start next: per origin one queue for each lane, at most so many downloads and so many
// transfers in all under way, metadata first. Pure bookkeeping over transfer ids; not thread-safe
// (it lives on the network thread). Origins without transfers are forgotten.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "tciafs/http/transport.h"

namespace tciafs::http {

class HostLanes {
 public:
  // Where more than one connection is allowed, downloads leave at least one to metadata.
  HostLanes(int downloads_max, int connections_max);

  enum class Place { kLast, kFirst };
  void Enqueue(const std::string& origin, Lane lane, uint64_t id, Place place);
  // Takes a transfer that has not started out of its queue.
  void Withdraw(const std::string& origin, Lane lane, uint64_t id);
  // The next transfer that may start now; it is under way until Release.
  std::optional<uint64_t> StartNext();
  void Release(const std::string& origin, Lane lane);

  size_t origins() const { return hosts_.size(); }

 private:
  struct Host {
    std::deque<uint64_t> metadata;
    std::deque<uint64_t> downloads;
    int running = 0;
    int running_downloads = 0;

    std::deque<uint64_t>& Queue(Lane lane) {
      return lane == Lane::kMetadata ? metadata : downloads;
    }
  };

  std::optional<Lane> LaneToStart(const Host& host) const;
  void ForgetIfIdle(std::map<std::string, Host>::iterator host);

  const int connections_max_;
  const int downloads_max_;
  std::map<std::string, Host> hosts_;
};

}  // namespace tciafs::http
