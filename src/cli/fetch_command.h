// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The commands that bring series into the cache of a mount, or keep them there: `tciafs fetch`,
// `tciafs pin` and `tciafs unpin`. What went well goes to standard output, what did not to standard
// error; on a terminal bars are painted over while it goes on.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "tciafs/control/channel.h"

namespace tciafs::cli {

struct FetchArguments {
  std::vector<std::string> paths;
  int jobs = 0;  // 0: as many as the mount downloads at once
  bool whole_archive = false;
  bool only_mark = false;  // of pin: without fetching
};

ExitCode RunFetch(const FetchArguments& arguments, const Caller& caller);
ExitCode RunPin(const FetchArguments& arguments, const Caller& caller);
ExitCode RunUnpin(const FetchArguments& arguments, const Caller& caller);

// A connected mount and the request of that kind for the paths.
struct PathRequest {
  control::Connection connection;
  control::Message message;
};
Outcome<PathRequest> RequestFor(const char* kind, const FetchArguments& arguments,
                                const Caller& caller);

// Asks for it and shows how it goes.
ExitCode FollowFetch(PathRequest request);

}  // namespace tciafs::cli
