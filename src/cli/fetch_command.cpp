// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/fetch_command.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "cli/daemon_link.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "tciafs/util/clock.h"

namespace tciafs::cli {
namespace {

using control::Message;

// What is told, as it is told: lines that stay, and on a terminal bars below them.
class FetchDisplay {
 public:
  FetchDisplay() : on_terminal_(CanPaint(STDOUT_FILENO)), bars_(STDOUT_FILENO) {}
  ~FetchDisplay() { bars_.Clear(); }

  void Take(const Message& told) {
    progress_.Take(told, clock_.MonotonicMs());
    const std::string& kind = told.kind();
    if (kind == "looking") {
      Paint({"looking at " + Printable(told.Text("path")) + " ..."});
    } else if (kind == "waiting") {
      Wait("waiting for " + Printable(told.Text("for")));
    } else if (kind == "plan") {
      Say(stdout, progress_.PlanText());
    } else if (kind == "pinned") {
      Say(stdout, CountText(told.Number("series", 0)) + " series pinned");
    } else if (kind == "progress") {
      Paint(progress_.Bars(SizeOfTerminal(STDOUT_FILENO).columns - 1));
    } else if (kind == "missing") {
      Say(stderr, "  " + SeriesText(told));
    } else if (kind == "series" && told.Text("state") != "verified") {
      Say(stderr, "tciafs: " + SeriesText(told));
    } else if (kind == "series" && !on_terminal_) {
      Say(stdout, SeriesText(told));
    } else if (kind == "summary") {
      Say(stdout, progress_.SummaryText(clock_.MonotonicMs() - began_ms_));
    }
  }
  // Before anything else is printed.
  void End() { bars_.Clear(); }
  const FetchProgress& progress() const { return progress_; }

 private:
  void Paint(const std::vector<std::string>& lines) {
    if (on_terminal_) bars_.Show(lines);
  }
  // Where nothing is painted over, once.
  void Wait(const std::string& line) {
    if (on_terminal_)
      bars_.Show({line + " ..."});
    else if (line != last_wait_)
      Say(stdout, line);
    last_wait_ = line;
  }
  // What was painted before it goes; it is painted again soon.
  void Say(FILE* stream, const std::string& line) {
    bars_.Clear();
    std::fprintf(stream, "%s\n", line.c_str());
    std::fflush(stream);
  }

  const bool on_terminal_;
  const SystemClock clock_;
  const int64_t began_ms_ = clock_.MonotonicMs();
  Repainter bars_;
  FetchProgress progress_;
  std::string last_wait_;
};

}  // namespace

Outcome<PathRequest> RequestFor(const char* kind, const FetchArguments& arguments,
                                const Caller& caller) {
  auto mounted = FindMountedPaths(arguments.paths);
  if (!mounted) return tl::unexpected(mounted.error());
  Message message(kind);
  for (size_t i = 0; i < mounted->inside.size(); ++i) {
    if (mounted->inside[i] == "/" && !arguments.whole_archive)
      return FailWith(ExitCode::kUsage, arguments.paths[i] +
                                            ": this is the whole archive; name what you want of "
                                            "it, or say --all");
    message.Add("path", mounted->inside[i]);
  }
  if (arguments.jobs > 0) message.Add("jobs", arguments.jobs);
  if (arguments.whole_archive) message.Add("whole_archive", 1);
  if (arguments.only_mark) message.Add("only_mark", 1);
  auto connection = ConnectTo(mounted->mount, caller);
  if (!connection) return tl::unexpected(connection.error());
  return PathRequest{*std::move(connection), std::move(message)};
}

ExitCode FollowFetch(PathRequest request) {
  const Interruptible interruptible(request.connection.fd());
  FetchDisplay display;
  const auto asked = AskMount(request.connection, request.message,
                              [&display](const Message& told) { display.Take(told); });
  display.End();
  if (Interruptible::Interrupted())
    return Complain({ExitCode::kInterrupted, "interrupted; what has arrived stays"});
  if (!asked) return Complain(asked.error());
  const ExitCode code = display.progress().code();
  if (code == ExitCode::kDone) return code;
  return Complain({code, display.progress().FailureText()});
}

ExitCode RunFetch(const FetchArguments& arguments, const Caller& caller) {
  auto request = RequestFor("fetch", arguments, caller);
  return request ? FollowFetch(*std::move(request)) : Complain(request.error());
}

}  // namespace tciafs::cli
