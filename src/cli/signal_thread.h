// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The signals a mount acts on, as a thread that waits for them: whatever they ask for can then be
// done without a signal handler's restrictions. SIGTERM and SIGINT end the mount, SIGUSR2 changes
// the log's level, SIGHUP is explained at EndsByHangup.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace tciafs::cli {

class SignalThread {
 public:
  // To be called before any other thread is started; they inherit it.
  static void BlockForAllThreads();

  // The callback runs on the thread of this object, for one signal at a time.
  explicit SignalThread(std::function<void(const siginfo_t&)> on_signal);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  static const sigset_t& Set();
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

// Whether a SIGHUP says that the terminal has gone, on which a foreground process is expected to
// end, rather than that the log file was renamed. The kernel says so by itself; a shell passes it
// on to its jobs as if somebody had asked for it.
bool EndsByHangup(const siginfo_t& signal, bool foreground, bool has_log_file);

}  // namespace tciafs::cli
