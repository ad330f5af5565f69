// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fuse/pending.h"

#include <cerrno>
#include <utility>
#include <vector>

namespace tciafs::fuse {
namespace {

void OnInterrupt(fuse_req_t request, void* table) {
  static_cast<PendingTable*>(table)->Interrupt(request);
}

}  // namespace

fuse_req_t Pending::Claim() {
  if (answered_.exchange(true)) return nullptr;
  table_.Remove(request_);
  return request_;
}

void Pending::Fail(int error_number) {
  if (fuse_req_t request = Claim()) fuse_reply_err(request, error_number);
}

void Pending::Abort(int error_number) {
  Fail(error_number);
  stop_.request_stop();
}

// Close must not answer a request (and so free it) while libfuse is still being given its interrupt
// function: until a request is armed, it is left to Add to notice that the table was closed.
std::shared_ptr<Pending> PendingTable::Add(fuse_req_t request) {
  auto pending = std::make_shared<Pending>(*this, request);
  {
    MutexLock lock(mutex_);
    pending_.emplace(request, pending);
  }
  // An interrupt that came before calls back from in here.
  fuse_req_interrupt_func(request, OnInterrupt, this);
  int closed_error = 0;
  {
    MutexLock lock(mutex_);
    pending->armed_ = true;
    closed_error = closed_error_;
  }
  if (closed_error != 0) pending->Abort(closed_error);
  return pending;
}

void PendingTable::Remove(fuse_req_t request) {
  std::shared_ptr<Pending> kept_until_unlocked;
  MutexLock lock(mutex_);
  const auto found = pending_.find(request);
  if (found == pending_.end()) return;
  kept_until_unlocked = std::move(found->second);
  pending_.erase(found);
}

void PendingTable::Interrupt(fuse_req_t request) {
  std::shared_ptr<Pending> pending;
  {
    MutexLock lock(mutex_);
    const auto found = pending_.find(request);
    if (found == pending_.end()) return;
    pending = found->second;
  }
  pending->Abort(EINTR);
}

void PendingTable::Close(int error_number) {
  std::vector<std::shared_ptr<Pending>> all;
  {
    MutexLock lock(mutex_);
    closed_error_ = error_number;
    for (const auto& [request, pending] : pending_)
      if (pending->armed_) all.push_back(pending);
  }
  for (const auto& pending : all) pending->Abort(error_number);
}

}  // namespace tciafs::fuse
