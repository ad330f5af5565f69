// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/failure_memory.h"

#include <algorithm>

#include "tciafs/fetch/limits.h"

namespace tciafs::fetch {

namespace {

// What failed on this machine says nothing of the archive.
bool IsLocal(Errc code) { return code == Errc::kInternal || code == Errc::kNoSpace; }

}  // namespace

void FailureMemory::Remember(const cache::SeriesKey& key, const source::SopUid& sop,
                             const source::SeriesVersion& version, const Error& error) {
  if (error.code == Errc::kCancelled || error.code == Errc::kStale) return;
  int64_t memory_ms = memory_ms_;
  if (error.code == Errc::kTimedOut) memory_ms = std::min(memory_ms, kTimeOutMemoryMs);
  if (error.code == Errc::kUnreachable) memory_ms = 0;
  const int64_t now_ms = clock_.MonotonicMs();
  MutexLock lock(mutex_);
  Put(Failure{Name(key, sop), version, error, now_ms + memory_ms, 0, now_ms});
}

void FailureMemory::RememberLeftOut(const cache::SeriesKey& key, const source::SopUid& sop,
                                    const source::SeriesVersion& version, const Error& error) {
  if (IsLocal(error.code)) return Remember(key, sop, version, error);
  const int64_t now_ms = clock_.MonotonicMs();
  Name name(key, sop);
  MutexLock lock(mutex_);
  int64_t left_out_ms = std::max<int64_t>(memory_ms_, 1);
  if (const Failure* before = LeftOutOne(name, version))
    left_out_ms = std::min(before->left_out_ms * 2, std::max(memory_ms_, kLeftOutMemoryMsMax));
  Put(Failure{std::move(name), version, error, now_ms + left_out_ms, left_out_ms, now_ms});
}

void FailureMemory::Put(Failure failure) {
  if (const auto old = by_name_.find(failure.name); old != by_name_.end())
    failures_.erase(old->second);
  failures_.push_front(std::move(failure));
  by_name_[failures_.front().name] = failures_.begin();
  if (failures_.size() > kFailuresMax) {
    by_name_.erase(failures_.back().name);
    failures_.pop_back();
  }
}

bool FailureMemory::LeftOut(const cache::SeriesKey& key, const source::SopUid& sop,
                            const source::SeriesVersion& version) const {
  MutexLock lock(mutex_);
  return LeftOutOne(Name(key, sop), version) != nullptr;
}

const FailureMemory::Failure* FailureMemory::LeftOutOne(
    const Name& name, const source::SeriesVersion& version) const {
  const auto failure = by_name_.find(name);
  if (failure == by_name_.end() || failure->second->left_out_ms == 0 ||
      !source::SameVersion(failure->second->version, version))
    return nullptr;
  return &*failure->second;
}

void FailureMemory::Forget(const cache::SeriesKey& key, const source::SopUid& sop) {
  MutexLock lock(mutex_);
  if (by_name_.empty()) return;
  const auto failure = by_name_.find(Name(key, sop));
  if (failure == by_name_.end()) return;
  failures_.erase(failure->second);
  by_name_.erase(failure);
}

std::optional<Error> FailureMemory::Recall(const cache::SeriesKey& key, const source::SopUid& sop,
                                           const source::SeriesVersion& version,
                                           int64_t recovered_at_ms) const {
  MutexLock lock(mutex_);
  if (by_name_.empty()) return std::nullopt;
  if (auto error = RecallOne(Name(key, source::SopUid()), version, recovered_at_ms)) return error;
  return RecallOne(Name(key, sop), version, recovered_at_ms);
}

std::optional<Error> FailureMemory::RecallOne(const Name& name,
                                              const source::SeriesVersion& version,
                                              int64_t recovered_at_ms) const {
  const auto failure = by_name_.find(name);
  if (failure == by_name_.end()) return std::nullopt;
  const bool outdated = failure->second->at_ms <= recovered_at_ms;
  if (outdated && failure->second->left_out_ms == 0) return std::nullopt;
  if (failure->second->until_ms <= clock_.MonotonicMs()) return std::nullopt;
  if (!source::SameVersion(failure->second->version, version)) return std::nullopt;
  return failure->second->error;
}

std::string FailureMemory::Text(const cache::SeriesKey& key, const source::SopUid& sop) const {
  MutexLock lock(mutex_);
  const auto failure = by_name_.find(Name(key, sop));
  return failure == by_name_.end() ? std::string() : failure->second->error.message;
}

}  // namespace tciafs::fetch
