// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/request_memory.h"

#include <utility>

namespace tciafs::catalog {

void FailureMemory::Remember(const DirectoryKey& key, Error error, int64_t now_ms, int64_t pause_ms,
                             bool listed) {
  if (error.code == Errc::kUnreachable) pause_ms = 0;
  MutexLock lock(mutex_);
  const uint64_t number = next_number_++;
  failures_.insert_or_assign(key,
                             Failure{std::move(error), now_ms, now_ms + pause_ms, listed, number});
  by_age_.emplace_back(number, key);
  while (by_age_.size() > failures_max_) {
    const auto oldest = failures_.find(by_age_.front().second);
    if (oldest != failures_.end() && oldest->second.number == by_age_.front().first)
      failures_.erase(oldest);
    by_age_.pop_front();
  }
}

void FailureMemory::Forget(const DirectoryKey& key) {
  MutexLock lock(mutex_);
  failures_.erase(key);
}

std::optional<Error> FailureMemory::Blocking(const DirectoryKey& key, int64_t now_ms,
                                             int64_t recovered_at_ms) const {
  MutexLock lock(mutex_);
  const auto failure = failures_.find(key);
  if (failure == failures_.end() || failure->second.retry_at_ms <= now_ms) return std::nullopt;
  if (failure->second.at_ms <= recovered_at_ms) return std::nullopt;
  return failure->second.error;
}

std::optional<Error> FailureMemory::BlockingFirst(const DirectoryKey& key, int64_t now_ms,
                                                  int64_t recovered_at_ms) const {
  MutexLock lock(mutex_);
  const auto failure = failures_.find(key);
  if (failure == failures_.end() || failure->second.listed || failure->second.retry_at_ms <= now_ms)
    return std::nullopt;
  if (failure->second.at_ms <= recovered_at_ms) return std::nullopt;
  return failure->second.error;
}

std::optional<Error> FailureMemory::Last(const DirectoryKey& key) const {
  MutexLock lock(mutex_);
  const auto failure = failures_.find(key);
  if (failure == failures_.end()) return std::nullopt;
  return failure->second.error;
}

ServerMemory::ServerMemory(const std::vector<source::Source*>& sources)
    : healthy_at_ms_(sources.size(), 0) {
  for (const auto* source : sources)
    health_.push_back({source->name(), source->scope(), true, {}, {}, {}});
}

void ServerMemory::NoteAnswer(size_t server) {
  MutexLock lock(mutex_);
  health_[server].reachable = true;
  health_[server].last_error.clear();
}

void ServerMemory::NoteContent(size_t server, int64_t now_unix_ms) {
  MutexLock lock(mutex_);
  health_[server].reachable = true;
  health_[server].last_error.clear();
  healthy_at_ms_[server] = now_unix_ms;
}

void ServerMemory::NoteError(size_t server, const Error& error, int64_t now_unix_ms) {
  if (error.code == Errc::kCancelled) return;
  // Whoever says no is there.
  const bool answered = error.code == Errc::kNotFound || error.code == Errc::kPermission ||
                        error.code == Errc::kUnauthenticated || error.code == Errc::kUnsupported ||
                        error.code == Errc::kThrottled;
  MutexLock lock(mutex_);
  health_[server].reachable = answered;
  health_[server].last_error = error.message;
  health_[server].last_error_code = error.code;
  health_[server].status.last_error = error.message;
  health_[server].status.last_error_unix_ms = now_unix_ms;
}

int64_t ServerMemory::healthy_at_ms(size_t server) const {
  MutexLock lock(mutex_);
  return healthy_at_ms_[server];
}

std::vector<ServerHealth> ServerMemory::Health() const {
  MutexLock lock(mutex_);
  return health_;
}

}  // namespace tciafs::catalog
