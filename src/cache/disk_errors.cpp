// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cache/disk_errors.h"

#include <cerrno>
#include <string>

#include "tciafs/util/text.h"

namespace tciafs::cache {
namespace {

Errc CodeOf(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Errc::kNoSpace;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::kPermission;
    case ENOENT:
    case ENOTDIR:
      return Errc::kNotFound;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Errc::kBusy;
    default:
      return Errc::kInternal;
  }
}

}  // namespace

Error DiskError(int error_number, std::string_view context) {
  return Error{CodeOf(error_number), std::string(context) + ": " + SystemErrorText(error_number)};
}

bool BlamesDisk(const Error& error) { return error.code != Errc::kBusy; }

}  // namespace tciafs::cache
