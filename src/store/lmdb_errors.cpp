// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "store/lmdb_errors.h"

#include <lmdb.h>

#include <cerrno>
#include <string>

#include "tciafs/util/text.h"

namespace tciafs::store {
namespace {

Errc CodeOf(int code) {
  switch (code) {
    case MDB_NOTFOUND:
    case ENOENT:
      return Errc::kNotFound;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Errc::kNoSpace;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_PAGE_FULL:
    case MDB_CURSOR_FULL:
      return Errc::kCorrupt;
    case MDB_BAD_VALSIZE:
      return Errc::kInvalidArgument;
    case MDB_READERS_FULL:
    case EAGAIN:
    case EBUSY:
    case EMFILE:
    case ENFILE:
      return Errc::kBusy;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::kPermission;
    default:
      return Errc::kInternal;
  }
}

}  // namespace

Error LmdbError(int code, std::string_view context) {
  const std::string text = code > 0 ? SystemErrorText(code) : mdb_strerror(code);
  return Error{CodeOf(code), std::string(context) + ": " + text};
}

}  // namespace tciafs::store
