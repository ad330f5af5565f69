// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/errno.h"

#include <cerrno>

namespace tciafs::fuse {

// No default: a new code must be given its errno here, the compiler insists.
int ToErrno(Errc code) {
  switch (code) {
    case Errc::kNotFound:
      return ENOENT;
    case Errc::kNotDirectory:
      return ENOTDIR;
    case Errc::kIsDirectory:
      return EISDIR;
    case Errc::kNameTooLong:
      return ENAMETOOLONG;
    case Errc::kInvalidArgument:
      return EINVAL;
    case Errc::kReadOnly:
      return EROFS;
    case Errc::kNotForProgram:
    case Errc::kPermission:
      return EACCES;
    case Errc::kUnauthenticated:
      return EACCES;
    case Errc::kStale:
      return ESTALE;
    case Errc::kTimedOut:
      return ETIMEDOUT;
    case Errc::kUnavailable:
      return EIO;
    case Errc::kThrottled:
      return EIO;
    case Errc::kUnreachable:
      return EIO;
    case Errc::kOffline:
      return ENETUNREACH;
    case Errc::kCancelled:
      return EINTR;
    case Errc::kCorrupt:
      return EIO;
    case Errc::kNoSpace:
      return ENOSPC;
    case Errc::kNoAttribute:
      return ENODATA;
    case Errc::kUnsupported:
      return ENOTSUP;
    case Errc::kBusy:
      return EBUSY;
    case Errc::kInternal:
      return EIO;
  }
  return EIO;
}

}  // namespace tciafs::fuse
