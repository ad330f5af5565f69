// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/signal_thread.h"

#include <fcntl.h>
#include <pthread.h>

#include <cerrno>
#include <utility>

#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {

void SignalThread::BlockForAllThreads() { pthread_sigmask(SIG_BLOCK, &Set(), nullptr); }

SignalThread::SignalThread(std::function<void(const siginfo_t&)> on_signal)
    : thread_([this, on_signal = std::move(on_signal)] {
        siginfo_t signal{};
        while (!ending_) {
          if (sigwaitinfo(&Set(), &signal) < 0) {
            if (errno != EINTR) return;
          } else if (!ending_) {
            on_signal(signal);
          }
        }
      }) {}

SignalThread::~SignalThread() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

const sigset_t& SignalThread::Set() {
  static const sigset_t set = [] {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    for (const int signal_number : {SIGINT, SIGHUP, SIGUSR2}) {
      struct sigaction inherited {};  // nohup, and a shell's background jobs, ignore some
      sigaction(signal_number, nullptr, &inherited);
      if (inherited.sa_handler != SIG_IGN) sigaddset(&signals, signal_number);
    }
    return signals;
  }();
  return set;
}

bool EndsByHangup(const siginfo_t& signal, bool foreground, bool has_log_file) {
  if (!foreground) return false;
  if (signal.si_code == SI_KERNEL) return true;
  const UniqueFd terminal(::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC));
  return terminal.valid() && !has_log_file;
}

}  // namespace tciafs::cli
