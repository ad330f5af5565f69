// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Leaving the terminal, while the command that was typed waits for the outcome: the child reports
// warnings and then either readiness or a failure through a pipe; the parent prints them and ends
// with the matching exit code. Fork happens before any thread is started.
#pragma once

#include <string>

#include "cli/exit_code.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {

// Where a mount reports to: the waiting parent, or standard error in the foreground.
class Reporter {
 public:
  Reporter() = default;
  explicit Reporter(UniqueFd pipe) : pipe_(std::move(pipe)) {}
  void Warn(const std::string& message);
  void Ready();  // a daemon then has a session of its own
  void Failed(const Failure& failure);

 private:
  void Send(char kind, const std::string& text);
  UniqueFd pipe_;
};

enum class ForkSide { kParent, kChild };
struct Forked {
  ForkSide side = ForkSide::kChild;
  Reporter reporter;                     // child
  ExitCode exit_code = ExitCode::kDone;  // parent: what to end with; messages are printed
};
// In the child: standing in /, its standard streams away from the terminal.
Outcome<Forked> BecomeDaemon();

}  // namespace tciafs::cli
