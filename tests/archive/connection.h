// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One TCP connection to a client, and the waits of the thread that serves it: every wait ends when
// the server stops. Belongs to that thread; the descriptors are borrowed.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace tciafs::archive {

class Connection {
 public:
  // `stop_fd` becomes readable when all is over.
  Connection(int fd, int stop_fd) : fd_(fd), stop_fd_(stop_fd) {}

  int fd() const { return fd_; }
  // As read(2) and write(2), but they wait, and fail once the server stops or the time is up.
  ssize_t Read(char* buffer, size_t size);
  ssize_t Write(const char* bytes, size_t size);
  bool WaitReadable(int64_t timeout_ms) const;
  // False if the client went away meanwhile, or the server stops.
  bool Sleep(int64_t ms) const;
  void WaitUntilGone() const;
  // Nothing more is written, and closing will send a TCP reset and drop what is still on its way.
  void ArmReset();
  // Nothing more is written; the client sees an orderly end behind what was.
  void HangUp();
  bool broken() const { return broken_; }
  // The reply under way is the last.
  void EndAfterReply() { ending_ = true; }
  bool ending() const { return ending_ || broken_; }

 private:
  int fd_;
  int stop_fd_;
  bool broken_ = false;
  bool ending_ = false;
};

}  // namespace tciafs::archive
