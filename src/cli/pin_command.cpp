// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <cstdio>
#include <utility>

#include "cli/daemon_link.h"
#include "cli/fetch_command.h"
#include "cli/terminal.h"

namespace tciafs::cli {

ExitCode RunPin(const FetchArguments& arguments, const Caller& caller) {
  auto request = RequestFor("pin", arguments, caller);
  return request ? FollowFetch(*std::move(request)) : Complain(request.error());
}

ExitCode RunUnpin(const FetchArguments& arguments, const Caller& caller) {
  auto request = RequestFor("unpin", arguments, caller);
  if (!request) return Complain(request.error());
  const Interruptible interruptible(request->connection.fd());
  const auto asked =
      AskMount(request->connection, request->message, [](const control::Message& told) {
        std::printf("%s series unpinned\n", CountText(told.Number("series", 0)).c_str());
      });
  if (Interruptible::Interrupted()) return ExitCode::kInterrupted;
  return asked ? ExitCode::kDone : Complain(asked.error());
}

}  // namespace tciafs::cli
