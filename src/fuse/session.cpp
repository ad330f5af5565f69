// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How a session ends: libfuse's loop waits on a semaphore and its workers read from the device, so
// setting its exit flag alone wakes nobody. A signal without effect, sent to the thread inside the
// loop, interrupts the semaphore; the loop then sees the flag and cancels its workers. Detaching
// the mount first would not do: while a program still holds a file the device does not report the
// end.
#include "tciafs/fuse/session.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <string_view>
#include <thread>
#include <utility>

#include "fuse/invalidator.h"
#include "fuse/ops.h"
#include "fuse/parallel_lookups.h"
#include "tciafs/util/log.h"
#include "tciafs/util/text.h"

namespace tciafs::fuse {
namespace {

constexpr int kWakeSignal = SIGUSR1;
constexpr auto kWakeInterval = std::chrono::milliseconds(20);

// libfuse explains a failed mount only through its log; the last words are kept for our message.
Mutex g_last_words_mutex;
std::string g_last_words TCIAFS_GUARDED_BY(g_last_words_mutex);

void TakeFuseLog(fuse_log_level level, const char* format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
void TakeFuseLog(fuse_log_level level, const char* format, va_list arguments) {
  const int error_number = errno;  // whoever called libfuse may want to see it
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  const std::string text(TrimBlanks(line));
  if (level <= FUSE_LOG_ERR) {
    MutexLock lock(g_last_words_mutex);
    g_last_words = text;
  }
  LogDebug("libfuse: {}", text);
  errno = error_number;
}

std::string LastWords() {
  MutexLock lock(g_last_words_mutex);
  return g_last_words;
}

// A handler that does nothing, so that the signal interrupts system calls.
void PrepareWakeSignal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(kWakeSignal, &action, nullptr);
}

std::string MountOptions(const SessionOptions& options) {
  std::string fsname;
  for (const char c : options.fsname) {  // libfuse splits at commas and unescapes backslashes
    if (c == ',' || c == '\\') fsname += '\\';
    fsname += c;
  }
  std::string words = "ro,nosuid,nodev,noexec,default_permissions,subtype=tciafs,fsname=" + fsname;
  if (options.allow_other) words += ",allow_other";
  for (const std::string& word : options.kernel_options) words += "," + word;
  return words;
}

// The last one counts, as it does for libfuse.
unsigned MaxReadBytes(const SessionOptions& options) {
  constexpr std::string_view kName = "max_read=";
  unsigned bytes = 0;
  for (const std::string& word : options.kernel_options)
    if (word.starts_with(kName))
      std::from_chars(word.data() + kName.size(), word.data() + word.size(), bytes);
  return bytes;
}

}  // namespace

struct Session::State {
  State(vfs::Filesystem& filesystem, const SessionOptions& options)
      : dispatcher(filesystem, options) {}

  // Everything that waits fails, everything that comes is refused, and nobody but the workers uses
  // the connection any more. While the workers run: a notification to the kernel may wait for a
  // page whose read is still to be answered.
  void StopAnswering() {
    dispatcher.pending.Close(ENOTCONN);
    dispatcher.filesystem.OnInvalidation(nullptr);
    invalidator->Close();
    dispatcher.gate.Close();
    dispatcher.gate.WaitUntilEmpty();
  }

  size_t threads_max = 0;
  Dispatcher dispatcher;
  fuse_session* session = nullptr;
  std::unique_ptr<Invalidator> invalidator;
  std::atomic<bool> stopping = false;
  std::atomic<bool> looping = false;
  pthread_t loop_thread{};
  std::thread stopper;
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Session>> Session::Mount(const SessionOptions& options,
                                                vfs::Filesystem& filesystem) {
  fuse_set_log_func(TakeFuseLog);
  auto state = std::make_unique<State>(filesystem, options);
  state->threads_max = options.threads_max;
  state->dispatcher.max_read_bytes = MaxReadBytes(options);
  std::string program = "tciafs";
  std::string option_flag = "-o";
  std::string option_words = MountOptions(options);
  char* argv[] = {program.data(), option_flag.data(), option_words.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, argv);
  state->session =
      fuse_session_new(&args, &Operations(), sizeof(fuse_lowlevel_ops), &state->dispatcher);
  fuse_opt_free_args(&args);
  state->dispatcher.session = state->session;
  if (state->session == nullptr)
    return Fail(Errc::kInvalidArgument, "the mount options are not understood: " + LastWords());
  if (fuse_session_mount(state->session, options.mountpoint.c_str()) != 0) {
    const int error_number = errno;
    fuse_session_destroy(state->session);
    std::string reason = LastWords();
    if (reason.empty()) reason = SystemErrorText(error_number);
    return Fail(Errc::kPermission, "cannot mount on " + options.mountpoint + ": " + reason);
  }
  PassParallelLookupsOn(state->session);
  state->invalidator = std::make_unique<Invalidator>(state->session);
  filesystem.OnInvalidation(
      [invalidator = state->invalidator.get()](const vfs::Invalidation& invalidation) {
        invalidator->Post(invalidation);
      });
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

Status Session::Run() {
  PrepareWakeSignal();
  state_->loop_thread = pthread_self();
  state_->looping = true;
  if (state_->stopping) fuse_session_exit(state_->session);

  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 0);  // gives nothing on few cores
  fuse_loop_cfg_set_max_threads(config, static_cast<unsigned>(state_->threads_max));
  fuse_loop_cfg_set_idle_threads(config, static_cast<unsigned>(state_->threads_max));
  const int outcome = fuse_session_loop_mt(state_->session, config);
  fuse_loop_cfg_destroy(config);

  state_->looping = false;
  state_->dispatcher.handshake.Ended(outcome >= 0);
  state_->StopAnswering();
  if (outcome < 0 && !state_->stopping)
    return Fail(Errc::kInternal,
                "the connection to the kernel failed: " + SystemErrorText(-outcome));
  return {};
}

bool Session::AwaitAnswering() { return state_->dispatcher.handshake.Await(); }

void Session::Stop() {
  if (state_->stopping.exchange(true)) return;
  state_->stopper = std::thread([state = state_.get()] {
    state->StopAnswering();
    fuse_session_exit(state->session);
    while (state->looping) {
      pthread_kill(state->loop_thread, kWakeSignal);
      std::this_thread::sleep_for(kWakeInterval);
    }
  });
}

Session::~Session() {
  if (state_->stopper.joinable()) state_->stopper.join();
  state_->StopAnswering();
  fuse_session_unmount(state_->session);
  fuse_session_destroy(state_->session);
}

std::string FuseVersion() { return fuse_pkgversion(); }

}  // namespace tciafs::fuse
