// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "cli/daemon_link.h"
#include "cli/mount_command.h"
#include "cli/mountpoint.h"
#include "cli/runtime_state.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

constexpr int kDaemonEndMaxMs = 15'000;
constexpr int kDaemonEndSoonMs = 1'000;

// The kernel tells the process that serves it when the last mount has gone. Another mount namespace
// (a container, a service of systemd's) may have a copy of its own: then it has to be asked.
bool AwaitEnd(pid_t daemon) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0)));
  if (!process.valid()) return errno == ESRCH;
  pollfd ended{process.get(), POLLIN, 0};
  if (::poll(&ended, 1, kDaemonEndSoonMs) > 0) return true;
  ::syscall(SYS_pidfd_send_signal, process.get(), SIGTERM, nullptr, 0);
  return ::poll(&ended, 1, kDaemonEndMaxMs) > 0;
}

// fusermount3 refuses, too, and does not say why.
Outcome<void> CheckMayUnmount(const MountEntry& mounted, const Caller& caller) {
  if (caller.uid == 0 || mounted.owner_uid == caller.uid) return {};
  return FailWith(ExitCode::kFailed, mounted.mountpoint + ": mounted by " +
                                         UserName(mounted.owner_uid) +
                                         "; only they or root can unmount it");
}

Outcome<void> Unmount(const std::string& path, const Caller& caller) {
  const std::string mountpoint = ResolveMountpoint(path);
  const auto mounted = FindMount(mountpoint);
  if (!mounted) return FailWith(ExitCode::kFailed, mountpoint + ": no tciafs is mounted there");
  if (auto may = CheckMayUnmount(*mounted, caller); !may) return may;
  const auto record = FindRecord(mountpoint, mounted->owner_uid, caller);
  const pid_t daemon = record ? record->pid : 0;
  int failed = DetachMount(mountpoint, caller.uid, false);
  if (failed == EBUSY && daemon != 0) {
    // Programs hold files in it, or wait for them: the daemon ends their waits and detaches itself.
    failed = ::kill(daemon, SIGTERM) == 0 ? 0 : errno;
  } else if (failed == EBUSY && IsDeadMount(mountpoint)) {
    failed = DetachMount(mountpoint, caller.uid, true);
  } else if (failed == EBUSY) {
    return FailWith(ExitCode::kFailed, mountpoint +
                                           ": programs use it, and the process that serves it is "
                                           "not known; end them (fuser -m) and try again");
  }
  if (failed != 0) return FailWith(ExitCode::kFailed, mountpoint + ": " + SystemErrorText(failed));
  if (daemon != 0 && !AwaitEnd(daemon))
    return FailWith(ExitCode::kFailed,
                    mountpoint + ": process " + std::to_string(daemon) + " does not end");
  if (FindMount(mountpoint)) DetachMount(mountpoint, caller.uid, true);
  if (FindMount(mountpoint)) return FailWith(ExitCode::kFailed, mountpoint + ": still mounted");
  return {};
}

// What a service does when it has ended, however that was: somebody else's mount may be there.
Outcome<void> UnmountDead(const std::string& path, const Caller& caller) {
  const std::string mountpoint = ResolveMountpoint(path);
  const auto mounted = FindMount(mountpoint);
  if (!mounted || !IsDeadMount(mountpoint)) return {};
  if (auto may = CheckMayUnmount(*mounted, caller); !may) return may;
  const int failed = DetachMount(mountpoint, caller.uid, true);
  if (failed != 0) return FailWith(ExitCode::kFailed, mountpoint + ": " + SystemErrorText(failed));
  return {};
}

}  // namespace

ExitCode RunUmount(const UmountRequest& request, const Caller& caller) {
  const auto unmounted = request.only_dead ? UnmountDead(request.mountpoint, caller)
                                           : Unmount(request.mountpoint, caller);
  if (unmounted) return ExitCode::kDone;
  std::fprintf(stderr, "tciafs: %s\n", unmounted.error().message.c_str());
  return unmounted.error().code;
}

}  // namespace tciafs::cli
