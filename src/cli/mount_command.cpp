// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "cli/archive_stack.h"
#include "cli/daemon.h"
#include "cli/mount_command.h"
#include "cli/mountpoint.h"
#include "cli/runtime_state.h"
#include "cli/service_manager.h"
#include "cli/signal_thread.h"
#include "tciafs/control/channel.h"
#include "tciafs/control/operations.h"
#include "tciafs/fuse/session.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"
#include "tciafs/util/mutex.h"

namespace tciafs::cli {
namespace {

constexpr int64_t kProbePatienceMs = 2'500;  // longer than the catalog waits for a slow server
constexpr int64_t kTeardownMaxMs = 8'000;

// Taking the mount down must end, whatever a layer waits for, and never leaves a broken mountpoint;
// nothing on disk depends on the rest.
class TeardownLimit {
 public:
  TeardownLimit(std::string mountpoint, uint32_t uid)
      : mountpoint_(std::move(mountpoint)), uid_(uid), thread_([this] { Watch(); }) {}
  ~TeardownLimit() {
    {
      MutexLock lock(mutex_);
      over_ = true;
    }
    wake_.NotifyAll();
    thread_.join();
  }
  TeardownLimit(const TeardownLimit&) = delete;
  TeardownLimit& operator=(const TeardownLimit&) = delete;

  // The time begins; further calls change nothing.
  void Start() {
    {
      MutexLock lock(mutex_);
      started_ = true;
    }
    wake_.NotifyAll();
  }

 private:
  void Watch() {
    const SystemClock clock;
    MutexLock lock(mutex_);
    while (!started_ && !over_) wake_.Wait(mutex_);
    const int64_t end_ms = clock.MonotonicMs() + kTeardownMaxMs;
    while (!over_ && clock.MonotonicMs() < end_ms)
      wake_.WaitFor(mutex_, std::chrono::milliseconds(end_ms - clock.MonotonicMs()));
    if (over_) return;
    LogError("the mount could not be taken down in time; leaving");
    if (FindMount(mountpoint_)) DetachMount(mountpoint_, uid_, true);
    _exit(static_cast<int>(ExitCode::kFailed));
  }

  const std::string mountpoint_;
  const uint32_t uid_;
  Mutex mutex_;
  CondVar wake_;
  bool started_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool over_ TCIAFS_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// What one thread frees others can use again only within the same arena: with glibc's default of
// eight for each processor, names looked up and forgotten took half as much memory again.
constexpr int kMallocArenas = 2;

// As many descriptors as we may have (every open instance takes one); no core file, it would hold
// passwords.
void SetProcessLimits() {
#ifdef M_ARENA_MAX
  mallopt(M_ARENA_MAX, kMallocArenas);
#endif
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGPIPE, SIG_IGN);
}

LogOptions::Target LogTarget(const MountSettings& settings, const Caller& caller) {
  if (!settings.log_file.empty()) return LogOptions::Target::kFile;
  if (!settings.foreground) return LogOptions::Target::kSyslog;
  return StandardErrorIsJournal(caller.environment) ? LogOptions::Target::kJournal
                                                    : LogOptions::Target::kStderr;
}

Outcome<void> StartLog(const MountSettings& settings, const Caller& caller) {
  LogOptions log;
  log.level = settings.log_level;
  log.file_path = settings.log_file;
  log.target = LogTarget(settings, caller);
  if (auto configured = ConfigureLog(log); !configured)
    return FailWith(ExitCode::kUsage, "--log-file: " + configured.error().message);
  return {};
}

fuse::SessionOptions ToSessionOptions(const MountSettings& settings) {
  fuse::SessionOptions options;
  options.mountpoint = settings.mountpoint;
  // A colon makes the usual tools take it for a remote file system.
  options.fsname =
      settings.fsname.empty() ? "tcia:" + HostOf(settings.servers.front()) : settings.fsname;
  options.allow_other = settings.allow_other;
  options.kernel_options = settings.kernel_options;
  options.ask_open = settings.ask_open;
  options.passthrough = settings.passthrough;
  return options;
}

// What a signal asks for: true to end the mount.
bool TakeSignal(const siginfo_t& signal, const MountSettings& settings) {
  if (signal.si_signo == SIGUSR2) {
    CycleLogLevel();
    return false;
  }
  if (signal.si_signo != SIGHUP ||
      EndsByHangup(signal, settings.foreground, !settings.log_file.empty())) {
    LogInfo("signal {}: unmounting {}", signal.si_signo, settings.mountpoint);
    return true;
  }
  if (auto reopened = ReopenLog(); !reopened)
    LogWarning("the log goes on in the old file: {}", reopened.error().message);
  else if (!settings.log_file.empty())
    LogInfo("signal {}: the log file was opened anew", signal.si_signo);
  return false;
}

// Where the other commands reach this mount. Without it, it is a mount all the same.
std::unique_ptr<control::Server> StartControl(ArchiveStack& stack, const MountSettings& settings,
                                              const RuntimeRecord& record, const Caller& caller) {
  auto server = control::Server::Start(record.socket_path(), caller.uid,
                                       control::Operations(stack.Mounted(settings.mountpoint)));
  if (server) return *std::move(server);
  LogWarning("{}; other commands cannot reach this mount", server.error().message);
  return nullptr;
}

// The life of a mount in the process that serves it.
Outcome<void> Serve(const MountSettings& settings, const Caller& caller,
                    const ServiceManager& manager, Reporter& reporter) {
  SetProcessLimits();
  SignalThread::BlockForAllThreads();
  if (auto logging = StartLog(settings, caller); !logging) return logging;
  auto stack = ArchiveStack::Build(settings, caller);
  if (!stack) return tl::unexpected(stack.error());
  CommitStep("daemon.assembled");
  auto session = fuse::Session::Mount(ToSessionOptions(settings), (*stack)->filesystem());
  if (!session) return FailWith(ExitCode::kCannotMount, session.error().message);
  CommitStep("daemon.mounted");
  auto record = RuntimeRecord::Write(settings.mountpoint, settings.cache_dir, caller);
  if (!record) {
    const std::string problem =
        record.error().message + "; other commands do not find the process of this mount";
    LogWarning("{}", problem);
    reporter.Warn(problem);
  }
  auto control = record ? StartControl(**stack, settings, *record, caller) : nullptr;

  TeardownLimit limit(settings.mountpoint, caller.uid);
  Status ended;
  bool stood = false;    // the announcer's until it has ended
  bool stopped = false;  // likewise that of the signals
  {
    const SignalThread signals([&](const siginfo_t& signal) {
      if (!TakeSignal(signal, settings)) return;
      stopped = true;
      manager.Stopping("unmounting " + settings.mountpoint);
      limit.Start();
      (*session)->Stop();
    });
    const std::jthread announcer([&] {
      if (!(*session)->AwaitAnswering()) return;
      std::string status = "mounted on " + settings.mountpoint;
      if (!settings.offline) {
        for (const std::string& problem : (*stack)->Probe(kProbePatienceMs)) {
          LogWarning("{}", problem);
          reporter.Warn(problem);
          status += "; " + problem;
        }
      }
      if (!(*session)->AwaitAnswering()) return;
      stood = true;
      CommitStep("daemon.ready");
      reporter.Ready();
      manager.Ready(status);
    });
    LogInfo("mounted on {}", settings.mountpoint);
    ended = (*session)->Run();
  }
  limit.Start();
  manager.Stopping("unmounting " + settings.mountpoint);
  CommitStep("daemon.loop_ended");
  control.reset();
  (*stack)->Shutdown();
  CommitStep("daemon.shut_down");
  session->reset();
  CommitStep("daemon.unmounted");
  stack->reset();
  CommitStep("daemon.closed");
  LogInfo("unmounted {}", settings.mountpoint);
  if (!ended)
    return FailWith(stood ? ExitCode::kFailed : ExitCode::kCannotMount, ended.error().message);
  if (!stood && !stopped)
    return FailWith(ExitCode::kCannotMount, settings.mountpoint + ": unmounted before it answered");
  return {};
}

}  // namespace

ExitCode RunMount(MountSettings settings, const Caller& caller) {
  const ServiceManager manager =
      settings.foreground ? ServiceManager(caller.environment) : ServiceManager();
  const auto refuse = [&manager](const Failure& failure) {
    Reporter().Failed(failure);
    manager.Tell(failure.message);
    return failure.code;
  };
  const auto checked = CheckMountpoint(settings.mountpoint, settings.nonempty);
  if (!checked) return refuse(checked.error());
  settings.mountpoint = *checked;
  if (const auto places = CheckPlaces(settings); !places) return refuse(places.error());
  Reporter reporter;
  if (!settings.foreground) {
    auto forked = BecomeDaemon();
    if (!forked) {
      reporter.Failed(forked.error());
      return forked.error().code;
    }
    if (forked->side == ForkSide::kParent) return forked->exit_code;
    reporter = std::move(forked->reporter);
  }
  if (auto served = Serve(settings, caller, manager, reporter); !served) {
    const auto target = LogTarget(settings, caller);
    if (target != LogOptions::Target::kStderr) LogError("{}", served.error().message);
    if (target != LogOptions::Target::kJournal) reporter.Failed(served.error());
    manager.Tell(served.error().message);
    return served.error().code;
  }
  return ExitCode::kDone;
}

}  // namespace tciafs::cli
