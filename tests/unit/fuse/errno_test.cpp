// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/errno.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace tciafs::fuse {
namespace {

// man/tciafs.7, E1.
TEST(ToErrno, IsWhatTheManualSays) {
  EXPECT_EQ(ToErrno(Errc::kNotFound), ENOENT);
  EXPECT_EQ(ToErrno(Errc::kPermission), EACCES);
  EXPECT_EQ(ToErrno(Errc::kUnauthenticated), EACCES);
  EXPECT_EQ(ToErrno(Errc::kReadOnly), EROFS);
  EXPECT_EQ(ToErrno(Errc::kTimedOut), ETIMEDOUT);
  EXPECT_EQ(ToErrno(Errc::kUnavailable), EIO);
  EXPECT_EQ(ToErrno(Errc::kCorrupt), EIO);
  EXPECT_EQ(ToErrno(Errc::kNoSpace), ENOSPC);
  EXPECT_EQ(ToErrno(Errc::kStale), ESTALE);
  EXPECT_EQ(ToErrno(Errc::kCancelled), EINTR);
  EXPECT_EQ(ToErrno(Errc::kOffline), ENETUNREACH);
}

}  // namespace
}  // namespace tciafs::fuse
