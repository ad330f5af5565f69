// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <cstdio>

#include "cli/daemon_link.h"
#include "cli/mount_queries.h"
#include "cli/terminal.h"

namespace tciafs::cli {
namespace {

void Print(const control::Message& refreshed) {
  std::string line = Printable(refreshed.Text("path")) + ": " +
                     CountText(refreshed.Number("entries", 0)) + " entries";
  const int64_t added = refreshed.Number("added", 0);
  const int64_t removed = refreshed.Number("removed", 0);
  if (added > 0) line += ", " + CountText(added) + " new";
  if (removed > 0) line += ", " + CountText(removed) + " gone";
  if (added == 0 && removed == 0) line += ", names as before";
  std::printf("%s\n", line.c_str());
}

}  // namespace

ExitCode RunRefresh(const std::vector<std::string>& paths, const Caller& caller) {
  const auto mounted = FindMountedPaths(paths);
  if (!mounted) return Complain(mounted.error());
  auto connection = ConnectTo(mounted->mount, caller);
  if (!connection) return Complain(connection.error());
  control::Message request("refresh");
  for (const std::string& path : mounted->inside) request.Add("path", path);
  const Interruptible interruptible(connection->fd());
  const auto asked = AskMount(*connection, request, Print);
  if (Interruptible::Interrupted()) return ExitCode::kInterrupted;
  return asked ? ExitCode::kDone : Complain(asked.error());
}

}  // namespace tciafs::cli
