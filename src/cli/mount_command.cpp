// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "cli/archive_stack.h"
#include "cli/daemon.h"
#include "cli/mount_command.h"
#include "cli/mountpoint.h"
#include "cli/runtime_state.h"
#include "tciafs/fuse/session.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/log.h"
#include "tciafs/util/mutex.h"

namespace tciafs::cli {
namespace {

constexpr int64_t kProbePatienceMs = 2'500;  // longer than the catalog waits for a slow server
constexpr int64_t kTeardownMaxMs = 8'000;

// SIGTERM and SIGINT (and SIGHUP, when a terminal closes) as a thread that waits for them: whatever
// ending takes can then be done without a signal handler's restrictions.
class SignalThread {
 public:
  static void BlockForAllThreads() { pthread_sigmask(SIG_BLOCK, &Set(), nullptr); }

  explicit SignalThread(std::function<void(int)> on_signal)
      : thread_([this, on_signal = std::move(on_signal)] {
          int signal_number = 0;
          while (sigwait(&Set(), &signal_number) == 0 && !ending_) on_signal(signal_number);
        }) {}
  ~SignalThread() {
    ending_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  static const sigset_t& Set() {
    static const sigset_t set = [] {
      sigset_t signals;
      sigemptyset(&signals);
      sigaddset(&signals, SIGTERM);
      for (const int signal_number : {SIGINT, SIGHUP}) {
        struct sigaction inherited {};  // nohup, and a shell's background jobs, ignore some
        sigaction(signal_number, nullptr, &inherited);
        if (inherited.sa_handler != SIG_IGN) sigaddset(&signals, signal_number);
      }
      return signals;
    }();
    return set;
  }
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

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

Outcome<void> StartLog(const MountSettings& settings) {
  LogOptions log;
  log.level = settings.log_level;
  log.file_path = settings.log_file;
  if (!settings.log_file.empty())
    log.target = LogOptions::Target::kFile;
  else if (!settings.foreground)
    log.target = LogOptions::Target::kSyslog;
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

// The life of a mount in the process that serves it.
Outcome<void> Serve(const MountSettings& settings, const Caller& caller, Reporter& reporter) {
  SetProcessLimits();
  SignalThread::BlockForAllThreads();
  if (auto logging = StartLog(settings); !logging) return logging;
  auto stack = ArchiveStack::Build(settings, caller);
  if (!stack) return tl::unexpected(stack.error());
  CommitStep("daemon.assembled");
  auto session = fuse::Session::Mount(ToSessionOptions(settings), (*stack)->filesystem());
  if (!session) return FailWith(ExitCode::kCannotMount, session.error().message);
  CommitStep("daemon.mounted");
  auto record = RuntimeRecord::Write(settings.mountpoint, caller);
  if (!record) LogWarning("{}; umount cannot wait for this mount's end", record.error().message);

  TeardownLimit limit(settings.mountpoint, caller.uid);
  Status ended;
  {
    const SignalThread signals([&](int signal_number) {
      if (signal_number == SIGHUP && !settings.foreground) return;
      LogInfo("signal {}: unmounting {}", signal_number, settings.mountpoint);
      limit.Start();
      (*session)->Stop();
    });
    const std::jthread announcer([&] {
      if (!settings.offline) {
        for (const std::string& problem : (*stack)->Probe(kProbePatienceMs)) {
          LogWarning("{}", problem);
          reporter.Warn(problem);
        }
      }
      CommitStep("daemon.ready");
      reporter.Ready();
    });
    LogInfo("mounted on {}", settings.mountpoint);
    ended = (*session)->Run();
  }
  limit.Start();
  CommitStep("daemon.loop_ended");
  (*stack)->Shutdown();
  CommitStep("daemon.shut_down");
  session->reset();
  CommitStep("daemon.unmounted");
  stack->reset();
  CommitStep("daemon.closed");
  LogInfo("unmounted {}", settings.mountpoint);
  if (!ended) return FailWith(ExitCode::kFailed, ended.error().message);
  return {};
}

}  // namespace

ExitCode RunMount(MountSettings settings, const Caller& caller) {
  auto checked = CheckMountpoint(settings.mountpoint, settings.nonempty);
  if (!checked) {
    Reporter().Failed(checked.error());
    return checked.error().code;
  }
  settings.mountpoint = *checked;
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
  if (auto served = Serve(settings, caller, reporter); !served) {
    if (!settings.foreground || !settings.log_file.empty()) LogError("{}", served.error().message);
    reporter.Failed(served.error());
    return served.error().code;
  }
  return ExitCode::kDone;
}

}  // namespace tciafs::cli
