// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/service_manager.h"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "tciafs/util/log.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::cli {
namespace {

constexpr timeval kSendPatience{
    5, 0};  // a manager that does not read must not keep a mount from ending

Status SendDatagram(const std::string& socket_name, const std::string& message) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_name.size() >= sizeof address.sun_path)
    return Fail(Errc::kInvalidArgument, "its name is too long");
  std::memcpy(address.sun_path, socket_name.data(), socket_name.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_name.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Fail(Errc::kInternal, SystemErrorText(errno));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendPatience, sizeof kSendPatience);
  const auto* to = reinterpret_cast<const sockaddr*>(&address);
  if (::sendto(socket.get(), message.data(), message.size(), MSG_NOSIGNAL, to, length) < 0)
    return Fail(Errc::kInternal, SystemErrorText(errno));
  return {};
}

}  // namespace

ServiceManager::ServiceManager(const Environment& environment) {
  const char* name = environment("NOTIFY_SOCKET");
  if (name == nullptr || *name == '\0') return;
  if (*name == '/' || *name == '@')
    socket_name_ = name;
  else
    LogWarning("NOTIFY_SOCKET: '{}' is not understood; the service manager is not told", name);
}

std::string ServiceManager::OneLine(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

void ServiceManager::Send(const std::string& message) const {
  if (socket_name_.empty()) return;
  if (auto sent = SendDatagram(socket_name_, message); !sent)
    LogWarning("the service manager at {} cannot be told: {}", socket_name_, sent.error().message);
}

bool StandardErrorIsJournal(const Environment& environment) {
  const char* stream = environment("JOURNAL_STREAM");
  struct stat st {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &st) != 0) return false;
  return fmt::format("{}:{}", st.st_dev, st.st_ino) == stream;
}

}  // namespace tciafs::cli
