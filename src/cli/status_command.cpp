// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/daemon_link.h"
#include "cli/limits.h"
#include "cli/mount_queries.h"
#include "cli/status_view.h"
#include "cli/terminal.h"

namespace tciafs::cli {
namespace {

constexpr std::chrono::milliseconds kWatchPause{1'000};
constexpr int kWholeLines = 1'000'000;  // for programs: nothing is shortened

// The mounts to tell of: that of the path, or all the caller has.
Outcome<std::vector<MountEntry>> Chosen(const StatusArguments& arguments, const Caller& caller) {
  if (!arguments.path.empty()) {
    auto found = FindMountedPath(arguments.path);
    if (!found) return tl::unexpected(found.error());
    return std::vector<MountEntry>{std::move(found->mount)};
  }
  std::vector<MountEntry> mounts;
  for (MountEntry& entry : ReadMountTable())
    if (entry.type == "fuse.tciafs" && (caller.uid == 0 || entry.owner_uid == caller.uid))
      mounts.push_back(std::move(entry));
  if (mounts.empty())
    return FailWith(ExitCode::kFailed,
                    "no tciafs of yours is mounted; begin with: tciafs mount DIR");
  return mounts;
}

Outcome<std::vector<std::string>> Lines(const MountEntry& mount, const StatusArguments& arguments,
                                        const Caller& caller) {
  auto connection = ConnectTo(mount, caller);
  if (!connection) return tl::unexpected(connection.error());
  std::vector<control::Message> answers;
  const control::Message request(arguments.json ? "status_json" : "status");
  const auto asked = AskMount(
      *connection, request,
      [&answers](const control::Message& answer) { answers.push_back(answer); }, kStatusWaitMaxMs);
  if (!asked) return tl::unexpected(asked.error());
  const int width =
      ::isatty(STDOUT_FILENO) != 0 ? SizeOfTerminal(STDOUT_FILENO).columns : kWholeLines;
  if (!arguments.json) return StatusLines(answers, width);
  std::vector<std::string> lines;
  for (const control::Message& answer : answers) lines.push_back(answer.Text("text"));
  if (!lines.empty() && lines.back().ends_with('\n')) lines.back().pop_back();
  return lines;
}

struct Report {
  std::vector<std::string> lines;
  std::vector<Failure> failures;
};

// One mount that cannot be asked does not hide the others.
Report Look(const std::vector<MountEntry>& mounts, const StatusArguments& arguments,
            const Caller& caller) {
  Report report;
  for (const MountEntry& mount : mounts) {
    auto lines = Lines(mount, arguments, caller);
    if (!lines) {
      report.failures.push_back(
          FindMount(mount.mountpoint)
              ? lines.error()
              : Failure{ExitCode::kFailed, mount.mountpoint + ": not mounted any more"});
      continue;
    }
    if (!report.lines.empty() && !arguments.json) report.lines.emplace_back();
    for (std::string& line : *lines) report.lines.push_back(std::move(line));
  }
  return report;
}

void Print(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

}  // namespace

ExitCode RunStatus(const StatusArguments& arguments, const Caller& caller) {
  const auto mounts = Chosen(arguments, caller);
  if (!mounts) return Complain(mounts.error());
  if (!arguments.watch) {
    const Report report = Look(*mounts, arguments, caller);
    for (const Failure& failure : report.failures) Complain(failure);
    Print(report.lines);
    return report.failures.empty() ? ExitCode::kDone : report.failures.back().code;
  }
  const bool repaint = CanPaint(STDOUT_FILENO) && !arguments.json;
  const Interruptible interruptible(-1);
  Repainter repainter(STDOUT_FILENO);
  for (auto watched = *mounts;;) {
    const Report report = Look(watched, arguments, caller);
    if (Interruptible::Interrupted()) return ExitCode::kInterrupted;
    // What is complained of stays, above what is shown next.
    if (!report.failures.empty()) repainter.Clear();
    for (const Failure& failure : report.failures) Complain(failure);
    if (!report.failures.empty() && report.lines.empty()) return report.failures.back().code;
    if (repaint)
      repainter.Show(report.lines);
    else
      Print(report.lines);
    if (std::ferror(stdout) != 0) return ExitCode::kFailed;
    std::this_thread::sleep_for(kWatchPause);
    if (Interruptible::Interrupted()) return ExitCode::kInterrupted;
    if (!arguments.path.empty()) continue;
    // Mounts come and go; the last that went is told of as one.
    if (auto now = Chosen(arguments, caller)) watched = *std::move(now);
  }
}

}  // namespace tciafs::cli
