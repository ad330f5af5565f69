// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/parallel_lookups.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "tciafs/util/log.h"

namespace tciafs::fuse {
namespace {

constexpr int kVersionThatPassesItOn = 317;

thread_local bool t_answers_init = false;

// Header, then the answer itself.
constexpr int kAnswerPieces = 2;

ssize_t WriteInitAnswer(int fd, const iovec* pieces) {
  fuse_init_out answer;
  const size_t size_bytes = std::min(pieces[1].iov_len, sizeof answer);
  std::memcpy(&answer, pieces[1].iov_base, size_bytes);
  answer.flags |= FUSE_PARALLEL_DIROPS;
  iovec changed[kAnswerPieces] = {pieces[0], {&answer, size_bytes}};
  return ::writev(fd, changed, kAnswerPieces);
}

ssize_t Write(int fd, iovec* pieces, int count, void*) {
  const bool is_init = t_answers_init;
  t_answers_init = false;
  const bool is_whole = count == kAnswerPieces && pieces[1].iov_len <= sizeof(fuse_init_out) &&
                        pieces[1].iov_len >= offsetof(fuse_init_out, max_background);
  return is_init && is_whole ? WriteInitAnswer(fd, pieces) : ::writev(fd, pieces, count);
}

ssize_t Read(int fd, void* buffer, size_t size_bytes, void*) {
  return ::read(fd, buffer, size_bytes);
}

ssize_t Splice(int from, off_t* from_offset, int to, off_t* to_offset, size_t size_bytes,
               unsigned flags, void*) {
  return ::splice(from, from_offset, to, to_offset, size_bytes, flags);
}

}  // namespace

void PassParallelLookupsOn(fuse_session* session) {
  if (fuse_version() >= kVersionThatPassesItOn) return;
  const fuse_custom_io io = {Write, Read, Splice, Splice};
  if (fuse_session_custom_io(session, &io, fuse_session_fd(session)) != 0)
    LogWarning("a lookup that waits for the archive will keep others out of its directory");
}

void ParallelLookupsWanted() { t_answers_init = true; }

}  // namespace tciafs::fuse
