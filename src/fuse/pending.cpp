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

// Nobody may answer a request (and so free it) while libfuse is still being given its interrupt
// function, which it may call from in there: until a request is armed, Interrupt and Close leave it
// to Add to notice.
std::shared_ptr<Pending> PendingTable::Add(fuse_req_t request, int64_t asking_pid) {
  auto pending = std::make_shared<Pending>(*this, request, asking_pid);
  {
    MutexLock lock(mutex_);
    if (pending_.size() >= pending_max_) return nullptr;
    pending_.emplace(request, pending);
  }
  fuse_req_interrupt_func(request, OnInterrupt, this);
  int error_number = 0;
  {
    MutexLock lock(mutex_);
    pending->armed_ = true;
    error_number = pending->interrupted_ ? EINTR : closed_error_;
  }
  if (error_number != 0) pending->Abort(error_number);
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
    pending->interrupted_ = true;
    if (!pending->armed_) return;
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
