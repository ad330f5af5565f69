// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <climits>

namespace tciafs::archive {
namespace {

// A client that neither reads nor goes away for so long is given up.
constexpr int64_t kPatienceMs = 600'000;

enum class Wait { kReady, kTimeout, kStopped };

Wait PollBoth(int fd, short events, int stop_fd, int64_t timeout_ms) {
  std::array<pollfd, 2> descriptors = {{{fd, events, 0}, {stop_fd, POLLIN, 0}}};
  int ready = 0;
  do {
    ready = ::poll(descriptors.data(), descriptors.size(),
                   static_cast<int>(std::clamp<int64_t>(timeout_ms, -1, INT_MAX)));
  } while (ready < 0 && errno == EINTR);
  if (ready < 0 || descriptors[1].revents != 0) return Wait::kStopped;
  return ready == 0 ? Wait::kTimeout : Wait::kReady;
}

}  // namespace

bool Connection::WaitReadable(int64_t timeout_ms) const {
  return PollBoth(fd_, POLLIN, stop_fd_, timeout_ms) == Wait::kReady;
}

ssize_t Connection::Read(char* buffer, size_t size) {
  if (broken_ || !WaitReadable(kPatienceMs)) return -1;
  ssize_t got = 0;
  do {
    got = ::recv(fd_, buffer, size, 0);
  } while (got < 0 && errno == EINTR);
  return got;
}

ssize_t Connection::Write(const char* bytes, size_t size) {
  if (broken_ || PollBoth(fd_, POLLOUT, stop_fd_, kPatienceMs) != Wait::kReady) return -1;
  ssize_t sent = 0;
  do {
    // Without waiting: a large piece would not fit, and nothing would end that wait.
    sent = ::send(fd_, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

bool Connection::Sleep(int64_t ms) const {
  return ms <= 0 || PollBoth(fd_, POLLRDHUP, stop_fd_, ms) == Wait::kTimeout;
}

void Connection::WaitUntilGone() const { PollBoth(fd_, POLLRDHUP, stop_fd_, -1); }

void Connection::ArmReset() {
  const linger at_once = {1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  broken_ = true;
}

void Connection::HangUp() {
  ::shutdown(fd_, SHUT_WR);
  broken_ = true;
}

}  // namespace tciafs::archive
