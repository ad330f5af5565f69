// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The address of a Unix socket by its path, however long that is: the kernel takes 107 bytes, so
// the directory is named by a descriptor (proc(5), /proc/self/fd), which the object holds. Good
// until it goes. Plain value.
#pragma once

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tciafs/util/result.h"
#include "tciafs/util/text.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs::control {

class SocketAddress {
 public:
  static Result<SocketAddress> Of(const std::string& path) {
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return Fail(Errc::kInvalidArgument, path + ": not absolute");
    SocketAddress made;
    made.directory_.Reset(
        ::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!made.directory_.valid())
      return Fail(errno == EACCES ? Errc::kPermission : Errc::kNotFound,
                  path + ": " + SystemErrorText(errno));
    const std::string name =
        fmt::format("/proc/self/fd/{}/{}", made.directory_.get(), path.substr(slash + 1));
    if (name.size() >= sizeof made.address_.sun_path)
      return Fail(Errc::kNameTooLong, path + ": too long a name");
    made.address_.sun_family = AF_UNIX;
    std::memcpy(made.address_.sun_path, name.c_str(), name.size() + 1);
    return made;
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t size() { return sizeof(sockaddr_un); }

 private:
  sockaddr_un address_{};
  UniqueFd directory_;
};

}  // namespace tciafs::control
