// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "cli/cache_access.h"
#include "cli/cache_command.h"
#include "cli/daemon_link.h"
#include "cli/fetch_command.h"
#include "cli/terminal.h"

namespace tciafs::cli {

ExitCode RunPin(const FetchArguments& arguments, const Caller& caller) {
  auto request = RequestFor("pin", arguments, caller);
  return request ? FollowFetch(*std::move(request)) : Complain(request.error());
}

// Paths in a mount, and UIDs of series, of which alone the usual cache is asked.
ExitCode RunUnpin(const FetchArguments& arguments, const Caller& caller) {
  FetchArguments in_mount = arguments;
  in_mount.paths.clear();
  std::vector<std::string> uids;
  for (const std::string& what : arguments.paths) {
    if (IsUid(what) && !FindMountedPath(what))
      uids.push_back(what);
    else
      in_mount.paths.push_back(what);
  }
  const auto tell = [](const control::Message& told) {
    std::printf("%s series unpinned\n", CountText(told.Number("series", 0)).c_str());
  };
  if (in_mount.paths.empty()) {
    const auto access = CacheAccess::Open("", caller, CacheAccess::Purpose::kUpkeep);
    if (!access) return Complain(access.error());
    control::Message message("unpin");
    for (const std::string& uid : uids) message.Add("series", uid);
    const auto asked = access->Ask(message, tell);
    if (asked) return ExitCode::kDone;
    return asked.error().code == ExitCode::kInterrupted ? ExitCode::kInterrupted
                                                        : Complain(asked.error());
  }
  auto request = RequestFor("unpin", in_mount, caller);
  if (!request) return Complain(request.error());
  for (const std::string& uid : uids) request->message.Add("series", uid);
  const Interruptible interruptible(request->connection.fd());
  const auto asked = AskMount(request->connection, request->message, tell);
  if (Interruptible::Interrupted()) return ExitCode::kInterrupted;
  return asked ? ExitCode::kDone : Complain(asked.error());
}

}  // namespace tciafs::cli
