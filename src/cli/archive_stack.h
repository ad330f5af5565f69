// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The composition root: every layer of one mount, made bottom-up from the settings, owned in the
// order they depend on each other, taken down in reverse. Built after the daemon has forked, since
// it starts threads.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "tciafs/control/operations.h"
#include "tciafs/http/curl_transport.h"
#include "tciafs/nbia/nbia_source.h"
#include "tciafs/util/clock.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::cli {

// What the settings mean to the layers that speak with a server; other commands ask servers, too.
http::CurlOptions CurlOptionsFor(const MountSettings& settings, const Clock& clock);
Outcome<nbia::NbiaOptions> NbiaOptionsFor(const MountSettings& settings, const std::string& server,
                                          const Caller& caller);
bool IsThisMachine(const std::string& host);

// kCache: a cache of somebody else's. Files that we would leave there as another user would keep
// its owner from them.
Outcome<void> CheckCacheOwner(const std::string& directory, const Caller& caller);

class ArchiveStack {
 public:
  static Outcome<std::unique_ptr<ArchiveStack>> Build(const MountSettings& settings,
                                                      const Caller& caller);
  ~ArchiveStack();

  vfs::Filesystem& filesystem();
  control::Mounted Mounted(const std::string& mountpoint);  // what other commands ask
  // Asks for the root listing and waits a moment; tells what is wrong with the servers, a line
  // each. An empty answer means that all is well or that nothing is known yet.
  std::vector<std::string> Probe(int64_t patience_ms);
  // Ends downloads and their waiters.
  void Shutdown();

 private:
  struct Parts;
  explicit ArchiveStack(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace tciafs::cli
