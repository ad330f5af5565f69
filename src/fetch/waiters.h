// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Who waits for one download: readers, each for an instance, and those who want the whole series. A
// waiter is an object, not a thread: thousands are normal, and waking those of one instance touches
// no other.
//
// Exactly one callback each: whoever takes a waiter out of its list calls it, after letting go of
// the lock that guards the list. WaiterList is not thread-safe; its download's mutex guards it, and
// with it the private part of its waiters.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <stop_token>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tciafs/cache/block_cache.h"
#include "tciafs/fetch/fetcher.h"
#include "tciafs/source/records.h"
#include "tciafs/util/result.h"

namespace tciafs::fetch {

using InstancePtr = std::shared_ptr<cache::InstanceFile>;

class Waiter {
 public:
  Waiter(source::SopUid wanted, Callback<InstancePtr> callback)
      : sop(std::move(wanted)), done(std::move(callback)) {}
  explicit Waiter(Callback<SeriesOutcome> callback) : series_done(std::move(callback)) {}

  bool for_series() const { return series_done != nullptr; }
  void Refuse(const Error& error) const;

  const source::SopUid sop;  // empty: any instance
  const Callback<InstancePtr> done;
  const Callback<SeriesOutcome> series_done;  // null: a reader, whose `done` is set
  // Made by the thread that let the waiter join, once it has, and gone with the waiter. Its
  // destructor waits for a stop request under way elsewhere, so no waiter dies under a lock.
  std::optional<std::stop_callback<std::function<void()>>> on_stop;

 private:
  friend class WaiterList;
  std::list<std::shared_ptr<Waiter>>::iterator place_;
  bool waiting_ = false;
};

using WaiterPtr = std::shared_ptr<Waiter>;

class WaiterList {
 public:
  // Keeps `total`, shared by all lists of a fetcher, up to date.
  explicit WaiterList(std::atomic<size_t>& total) : total_(total) {}

  void Add(const WaiterPtr& waiter);
  bool Remove(const WaiterPtr& waiter);                    // false: somebody else has taken it
  std::vector<WaiterPtr> Take(const source::SopUid& sop);  // readers
  std::vector<WaiterPtr> TakeAll();

  bool Contains(const source::SopUid& sop) const { return by_sop_.contains(sop); }
  bool WantSeries() const { return !for_series_.empty(); }
  std::vector<source::SopUid> Wanted() const;  // by readers, without "any"
  size_t size() const { return size_; }

 private:
  void Taken(size_t count);

  std::atomic<size_t>& total_;
  std::unordered_map<source::SopUid, std::list<WaiterPtr>> by_sop_;
  std::list<WaiterPtr> for_series_;
  size_t size_ = 0;
};

void AnswerAll(const std::vector<WaiterPtr>& readers, const InstancePtr& file);
void RefuseAll(const std::vector<WaiterPtr>& waiters, const Error& error);

}  // namespace tciafs::fetch
