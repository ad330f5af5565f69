// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The pipe carries lines: "W text" a warning, "R" ready, "F code text" failed. Its end without R or
// F means the child died.
#include "cli/daemon.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "tciafs/util/text.h"

namespace tciafs::cli {
namespace {

ExitCode AwaitReport(int pipe, pid_t child) {
  FILE* reports = ::fdopen(pipe, "r");
  char* line = nullptr;
  size_t capacity = 0;
  ExitCode outcome = ExitCode::kFailed;
  bool settled = false;
  while (!settled && ::getline(&line, &capacity, reports) > 0) {
    const std::string_view text = TrimBlanks(line);
    if (text.starts_with("W ")) {
      std::fprintf(stderr, "tciafs: warning: %.*s\n", static_cast<int>(text.size()) - 2,
                   text.data() + 2);
    } else if (text == "R") {
      outcome = ExitCode::kDone;
      settled = true;
    } else if (text.starts_with("F ")) {
      char* rest = nullptr;
      outcome = static_cast<ExitCode>(std::strtol(line + 2, &rest, 10));
      std::fprintf(stderr, "tciafs: %s\n", std::string(TrimBlanks(rest)).c_str());
      settled = true;
    }
  }
  std::free(line);
  std::fclose(reports);
  if (settled && outcome == ExitCode::kDone) return outcome;
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!settled) {
    if (WIFSIGNALED(status))
      std::fprintf(stderr, "tciafs: the mount was ended by signal %d before it was ready\n",
                   WTERMSIG(status));
    else
      std::fprintf(stderr, "tciafs: the mount ended before it was ready\n");
  }
  return outcome;
}

// What is said on standard error until the mount stands (by fusermount3, say) is kept in memory,
// for the message if it fails.
void LeaveTerminal() {
  if (::chdir("/") != 0) return;  // cannot fail
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd kept(::memfd_create("tciafs-errors", MFD_CLOEXEC));
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO}) ::dup2(null.get(), fd);
  ::dup2(kept.valid() ? kept.get() : null.get(), STDERR_FILENO);
}

std::string WordsOnStandardError() {
  char words[512];
  const ssize_t got = ::pread(STDERR_FILENO, words, sizeof words, 0);
  return got <= 0 ? "" : std::string(TrimBlanks({words, static_cast<size_t>(got)}));
}

}  // namespace

void Reporter::Send(char kind, const std::string& text) {
  std::string line(1, kind);
  if (!text.empty()) line += " " + text;
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  while (::write(pipe_.get(), line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

void Reporter::Warn(const std::string& message) {
  if (pipe_.valid()) Send('W', message);
}

void Reporter::Ready() {
  if (!pipe_.valid()) return;
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), STDERR_FILENO);
  // Not earlier: where an automount waits for this mount, autofs lets only systemd's own process
  // group pass; all others wait for the mount, on which this process would wait for itself.
  ::setsid();
  Send('R', "");
  pipe_.Reset();
}

void Reporter::Failed(const Failure& failure) {
  if (!pipe_.valid()) {
    std::fprintf(stderr, "tciafs: %s\n", failure.message.c_str());
    return;
  }
  const std::string words = WordsOnStandardError();
  Send('F', std::to_string(static_cast<int>(failure.code)) + " " + failure.message +
                (words.empty() ? "" : " (" + words + ")"));
}

Outcome<Forked> BecomeDaemon() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    return FailWith(ExitCode::kFailed, "pipe: " + SystemErrorText(errno));
  UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return FailWith(ExitCode::kFailed, "fork: " + SystemErrorText(errno));
  Forked forked;
  if (child == 0) {
    LeaveTerminal();
    forked.reporter = Reporter(std::move(writing));
    return forked;
  }
  writing.Reset();
  forked.side = ForkSide::kParent;
  forked.exit_code = AwaitReport(reading.Release(), child);
  return forked;
}

}  // namespace tciafs::cli
