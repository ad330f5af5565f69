// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/invalidations.h"

#include <utility>

namespace tciafs::vfs {

void Invalidations::SetListener(Listener listener) {
  auto replacement = listener ? std::make_shared<const Listener>(std::move(listener)) : nullptr;
  MutexLock lock(mutex_);
  listener_.swap(replacement);
  while (running_ > 0) idle_.Wait(mutex_);
}

void Invalidations::Post(std::vector<Invalidation> invalidations) {
  if (invalidations.empty()) return;
  executor_.Post([weak = weak_from_this(), invalidations = std::move(invalidations)] {
    if (const auto self = weak.lock()) self->Deliver(invalidations);
  });
}

void Invalidations::PostThen(Invalidation invalidation, Task then) {
  // The last copy to go runs `then`, wherever it was: with the listener, in a dropped task, here.
  static constexpr int kToken = 0;
  invalidation.until_told =
      std::shared_ptr<const void>(&kToken, [then = std::move(then)](const void*) { then(); });
  std::vector<Invalidation> one;
  one.push_back(std::move(invalidation));
  Post(std::move(one));
}

void Invalidations::Deliver(const std::vector<Invalidation>& invalidations) {
  std::shared_ptr<const Listener> listener;
  {
    MutexLock lock(mutex_);
    if (listener_ == nullptr) return;
    listener = listener_;
    ++running_;
  }
  for (const Invalidation& invalidation : invalidations) (*listener)(invalidation);
  MutexLock lock(mutex_);
  if (--running_ == 0) idle_.NotifyAll();
}

}  // namespace tciafs::vfs
