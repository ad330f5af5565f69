// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/owner_lock.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>

#include "cache/disk_errors.h"
#include "tciafs/util/fault_point.h"
#include "tciafs/util/text.h"

namespace tciafs::cache {
namespace {

constexpr std::string_view kChecking = "checking";
constexpr std::string_view kRunning = "running";
constexpr std::string_view kClosed = "closed";

std::string Content(int fd) {
  char text[128];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  return std::string(text, size > 0 ? static_cast<size_t>(size) : 0);
}

}  // namespace

// The file: "<pid> <stage> <how often checking was begun in a row>\n".
Result<OwnerLock> OwnerLock::Take(const std::string& path) {
  OwnerLock lock(UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)));
  if (!lock.fd_.valid()) return Fail(DiskError(errno, path));
  const bool taken = ::flock(lock.fd_.get(), LOCK_EX | LOCK_NB) == 0;
  const int flock_error = errno;
  const std::string content = Content(lock.fd_.get());
  const auto words = SplitText(TrimBlanks(content), ' ');
  if (!taken && flock_error == EWOULDBLOCK) {
    return Fail(Errc::kBusy, fmt::format("{}: in use by process {}", path, words[0]));
  }
  if (!taken) return Fail(DiskError(flock_error, path));
  // Anything but a clean end, also a file that lost its content.
  lock.died_running_ = words.size() != 3 || words[1] != kClosed;
  if (words.size() == 3 && words[1] == kChecking)
    std::from_chars(words[2].data(), words[2].data() + words[2].size(), lock.died_checking_);
  return lock;
}

bool OwnerLock::IsContent(std::string_view content) {
  const auto words = SplitText(content.substr(0, content.find('\n')), ' ');
  return words.size() == 3 && !words[0].empty() &&
         words[0].find_first_not_of("0123456789") == std::string_view::npos &&
         (words[1] == kChecking || words[1] == kRunning || words[1] == kClosed);
}

Status OwnerLock::Write(Stage stage) {
  const std::string_view name = stage == Stage::kChecking  ? kChecking
                                : stage == Stage::kRunning ? kRunning
                                                           : kClosed;
  const std::string text = fmt::format("{} {} {}\n", ::getpid(), name,
                                       stage == Stage::kChecking ? died_checking_ + 1 : 0);
  if (const int fault = FaultPoint("cache.lock.write"); fault != 0)
    return Fail(DiskError(fault, "lock"));
  if (::pwrite(fd_.get(), text.data(), text.size(), 0) < 0 ||
      ::ftruncate(fd_.get(), static_cast<off_t>(text.size())) != 0)
    return Fail(DiskError(errno, "lock"));
  // Power may fail: what the run before left here would say that all is well.
  if (stage == Stage::kClosed) return {};
  if (const int fault = FaultPoint("cache.lock.sync"); fault != 0)
    return Fail(DiskError(fault, "lock"));
  if (::fdatasync(fd_.get()) != 0) return Fail(DiskError(errno, "lock"));
  return {};
}

}  // namespace tciafs::cache
