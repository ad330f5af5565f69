// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A mounted vfs::Filesystem: libfuse's low-level session, from mount to unmount. Replies are sent
// by whoever finishes an operation; no FUSE worker waits. The one place where Errc becomes an
// errno.
//
// Run blocks its caller until the file system is unmounted or Stop is called. Stop may be called
// from any thread (not from a signal handler). The file system is borrowed. Errors: kBusy,
// kPermission, kNotFound, kUnsupported, kInternal at mount time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tciafs/util/result.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::fuse {

// What the kernel asks to open before it reads it, where it can do without: asking costs two
// requests for each time something is opened. kNone is for a file system made for it
// (FilesystemOptions::files_are_opened).
enum class AskOpen { kAll, kFiles, kNone };

struct SessionOptions {
  std::string mountpoint;  // or /dev/fd/N, a /dev/fuse that somebody else mounted with
  std::string fsname;      // with a colon, so that tools see a remote file system
  bool allow_other = false;
  std::vector<std::string> kernel_options;  // further `-o` words, e.g. "noatime"
  AskOpen ask_open = AskOpen::kFiles;
  size_t threads_max = 10;
  bool passthrough = true;  // let the kernel read cached files by itself where it can
};

class Session {
 public:
  // Mounts. After this returns the kernel queues requests; Run answers them.
  static Result<std::unique_ptr<Session>> Mount(const SessionOptions& options,
                                                vfs::Filesystem& filesystem);
  ~Session();  // unmounts if still mounted

  Status Run();
  // Waits until the kernel has been answered; false if Run ends before, or has failed since. From
  // any thread.
  bool AwaitAnswering();
  // Ends every operation under way, detaches the mount and makes Run return.
  void Stop();

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

std::string FuseVersion();

}  // namespace tciafs::fuse
