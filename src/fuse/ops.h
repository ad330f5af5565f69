// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The kernel's requests, decoded, handed to vfs::Filesystem, and their answers encoded: nothing
// else. What a request that was interrupted meanwhile had been given (a lookup, a handle) is taken
// back. Thread-safe; called by libfuse's workers.
#pragma once

#include "fuse/handshake.h"
#include "fuse/passthrough.h"
#include "fuse/pending.h"
#include "tciafs/fuse/session.h"
#include "tciafs/util/gate.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::fuse {

// What a session's operations share; the session's user data.
struct Dispatcher {
  Dispatcher(vfs::Filesystem& served, const SessionOptions& options)
      : filesystem(served),
        passthrough(options.passthrough),
        ask_opendir(options.ask_open == AskOpen::kAll),
        ask_open(options.ask_open != AskOpen::kNone) {}
  vfs::Filesystem& filesystem;
  fuse_session* session = nullptr;  // set before the first request
  unsigned max_read_bytes = 0;      // what the mount option says; 0: nothing
  Handshake handshake;
  Passthrough passthrough;
  // Both settled when the kernel has told what it can do without.
  bool ask_opendir;
  bool ask_open;
  PendingTable pending;
  Gate gate;  // answers under way; none comes once it is closed
};

const fuse_lowlevel_ops& Operations();

}  // namespace tciafs::fuse
