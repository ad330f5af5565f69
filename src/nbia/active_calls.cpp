// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/active_calls.h"

#include <vector>

namespace tciafs::nbia {

struct ActiveCall::Registry {
  Mutex mutex;
  CondVar changed;
  std::list<std::stop_source> calls TCIAFS_GUARDED_BY(mutex);
  bool stopping TCIAFS_GUARDED_BY(mutex) = false;
};

ActiveCall::~ActiveCall() {
  forward_.reset();
  {
    MutexLock lock(registry_->mutex);
    registry_->calls.erase(place_);
  }
  registry_->changed.NotifyAll();
}

ActiveCalls::ActiveCalls() : registry_(std::make_shared<ActiveCall::Registry>()) {}

std::shared_ptr<ActiveCall> ActiveCalls::Begin(const std::stop_token& stop) {
  std::shared_ptr<ActiveCall> call(new ActiveCall(registry_));
  bool stopping = false;
  {
    MutexLock lock(registry_->mutex);
    call->place_ = registry_->calls.insert(registry_->calls.end(), call->source_);
    stopping = registry_->stopping;
  }
  if (stopping) call->source_.request_stop();
  call->forward_.emplace(stop, ActiveCall::Forward{call->source_});
  return call;
}

void ActiveCalls::StopAndWait() {
  std::vector<std::stop_source> calls;
  {
    MutexLock lock(registry_->mutex);
    registry_->stopping = true;
    calls.assign(registry_->calls.begin(), registry_->calls.end());
  }
  for (auto& call : calls) call.request_stop();
  MutexLock lock(registry_->mutex);
  while (!registry_->calls.empty()) registry_->changed.Wait(registry_->mutex);
}

}  // namespace tciafs::nbia
