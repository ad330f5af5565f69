// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/mount_command.h"
#include "cli/mountpoint.h"
#include "cli/runtime_state.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

extern char** environ;

namespace tciafs::cli {
namespace {

constexpr int kDaemonEndMaxMs = 15'000;

// 0, or an errno. Root unmounts by itself, others through the setuid fusermount3.
int Detach(const std::string& mountpoint, const Caller& caller, bool lazily) {
  if (caller.uid == 0)
    return ::umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0)) == 0 ? 0
                                                                                           : errno;
  const char* arguments[] = {"fusermount3",      "-u",   "-q", lazily ? "-z" : "--",
                             mountpoint.c_str(), nullptr};
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, "fusermount3", nullptr, nullptr,
                                    const_cast<char* const*>(arguments), environ);
  if (failed != 0) return failed;
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  return FindMount(mountpoint) ? EBUSY : 0;  // fusermount3 tells no reason by its exit code
}

bool AwaitEnd(pid_t daemon) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0)));
  if (!process.valid()) return errno == ESRCH;
  pollfd ended{process.get(), POLLIN, 0};
  return ::poll(&ended, 1, kDaemonEndMaxMs) > 0;
}

Outcome<void> Unmount(const std::string& path, const Caller& caller) {
  const std::string mountpoint = ResolveMountpoint(path);
  if (!FindMount(mountpoint))
    return FailWith(ExitCode::kFailed, mountpoint + ": no tciafs is mounted there");
  const auto daemon = FindDaemon(mountpoint, caller);
  int failed = Detach(mountpoint, caller, false);
  if (failed == EBUSY && daemon) {
    // Programs hold files in it, or wait for them: the daemon ends their waits and detaches itself.
    ::kill(*daemon, SIGTERM);
    failed = 0;
  } else if (failed == EBUSY) {
    failed = Detach(mountpoint, caller, true);  // a dead mount whose files are still held
  }
  if (failed != 0) return FailWith(ExitCode::kFailed, mountpoint + ": " + SystemErrorText(failed));
  if (daemon && !AwaitEnd(*daemon))
    return FailWith(ExitCode::kFailed,
                    mountpoint + ": process " + std::to_string(*daemon) + " does not end");
  if (FindMount(mountpoint)) Detach(mountpoint, caller, true);
  if (FindMount(mountpoint)) return FailWith(ExitCode::kFailed, mountpoint + ": still mounted");
  return {};
}

}  // namespace

ExitCode RunUmount(const std::string& mountpoint, const Caller& caller) {
  const auto unmounted = Unmount(mountpoint, caller);
  if (unmounted) return ExitCode::kDone;
  std::fprintf(stderr, "tciafs: %s\n", unmounted.error().message.c_str());
  return unmounted.error().code;
}

}  // namespace tciafs::cli
