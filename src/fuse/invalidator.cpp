// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/invalidator.h"

#include <utility>

namespace tciafs::fuse {
namespace {

constexpr int64_t kPageBytes = 4096;

// Bytes stored beyond the size the kernel believes in make it believe in the larger one.
void StoreEnd(fuse_session* session, const vfs::Invalidation& invalidation) {
  const int64_t size_bytes = invalidation.grown->size_bytes();
  const int64_t page_begin = (size_bytes - 1) / kPageBytes * kPageBytes;
  const auto range = invalidation.grown->Read(page_begin, size_bytes - page_begin);
  if (!range || range->size_bytes != size_bytes - page_begin) return;  // the reader will hear of it
  StorePages(session, invalidation.node, page_begin, *range);
}

// The kernel answers ENOENT for what it does not know any more; there is nothing to do about it.
void Tell(fuse_session* session, const vfs::Invalidation& invalidation) {
  switch (invalidation.kind) {
    case vfs::Invalidation::Kind::kEntry:
      fuse_lowlevel_notify_inval_entry(session, invalidation.node, invalidation.name.data(),
                                       invalidation.name.size());
      return;
    case vfs::Invalidation::Kind::kAttributes:
      fuse_lowlevel_notify_inval_inode(session, invalidation.node, -1, 0);
      return;
    case vfs::Invalidation::Kind::kDirectory:
    case vfs::Invalidation::Kind::kFile:
      fuse_lowlevel_notify_inval_inode(session, invalidation.node, 0, 0);
      if (invalidation.grown) StoreEnd(session, invalidation);
      return;
  }
}

}  // namespace

Invalidator::Invalidator(fuse_session* session) : names_(session), nodes_(session) {}

Invalidator::~Invalidator() { Close(); }

void Invalidator::Post(const vfs::Invalidation& invalidation) {
  const bool is_name = invalidation.kind == vfs::Invalidation::Kind::kEntry;
  (is_name ? names_ : nodes_).Post(invalidation);
}

void Invalidator::Close() {
  names_.Stop();
  nodes_.Stop();
  names_.Join();
  nodes_.Join();
}

Invalidator::Teller::Teller(fuse_session* session)
    : session_(session), thread_([this] { Run(); }) {}

void Invalidator::Teller::Post(const vfs::Invalidation& invalidation) {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    queue_.push_back(invalidation);
  }
  wake_.NotifyOne();
}

void Invalidator::Teller::Stop() {
  std::deque<vfs::Invalidation> dropped;  // goes without the lock: somebody may wait for its end
  {
    MutexLock lock(mutex_);
    closed_ = true;
    dropped.swap(queue_);
  }
  wake_.NotifyAll();
}

void Invalidator::Teller::Join() {
  MutexLock lock(join_mutex_);  // for whoever closes at the same time
  if (thread_.joinable()) thread_.join();
}

void Invalidator::Teller::Run() {
  for (;;) {
    vfs::Invalidation next;
    {
      MutexLock lock(mutex_);
      while (!closed_ && queue_.empty()) wake_.Wait(mutex_);
      if (closed_) return;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    Tell(session_, next);
  }
}

int StorePages(fuse_session* session, vfs::NodeId node, int64_t offset,
               const cache::FileRange& range) {
  fuse_bufvec bytes = FUSE_BUFVEC_INIT(static_cast<size_t>(range.size_bytes));
  bytes.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  bytes.buf[0].fd = range.fd;
  bytes.buf[0].pos = range.offset;
  return fuse_lowlevel_notify_store(session, node, offset, &bytes, FUSE_BUF_NO_SPLICE);
}

}  // namespace tciafs::fuse
