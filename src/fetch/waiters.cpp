// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fetch/waiters.h"

namespace tciafs::fetch {

void Waiter::Refuse(const Error& error) const {
  for_series() ? series_done(tciafs::Fail(error)) : done(tciafs::Fail(error));
}

void WaiterList::Add(const WaiterPtr& waiter) {
  auto& list = waiter->for_series() ? for_series_ : by_sop_[waiter->sop];
  waiter->place_ = list.insert(list.end(), waiter);
  waiter->waiting_ = true;
  ++size_;
  ++total_;
}

bool WaiterList::Remove(const WaiterPtr& waiter) {
  if (!waiter->waiting_) return false;
  waiter->waiting_ = false;
  Taken(1);
  if (waiter->for_series()) {
    for_series_.erase(waiter->place_);
    return true;
  }
  const auto list = by_sop_.find(waiter->sop);
  list->second.erase(waiter->place_);
  if (list->second.empty()) by_sop_.erase(list);
  return true;
}

std::vector<WaiterPtr> WaiterList::Take(const source::SopUid& sop) {
  const auto list = by_sop_.extract(sop);
  if (list.empty()) return {};
  std::vector<WaiterPtr> taken(list.mapped().begin(), list.mapped().end());
  for (const auto& waiter : taken) waiter->waiting_ = false;
  Taken(taken.size());
  return taken;
}

std::vector<WaiterPtr> WaiterList::TakeAll() {
  std::vector<WaiterPtr> taken(for_series_.begin(), for_series_.end());
  taken.reserve(size_);
  for (const auto& [sop, list] : by_sop_) taken.insert(taken.end(), list.begin(), list.end());
  for (const auto& waiter : taken) waiter->waiting_ = false;
  by_sop_.clear();
  for_series_.clear();
  Taken(taken.size());
  return taken;
}

std::vector<source::SopUid> WaiterList::Wanted() const {
  std::vector<source::SopUid> wanted;
  wanted.reserve(by_sop_.size());
  for (const auto& [sop, list] : by_sop_)
    if (!sop.empty()) wanted.push_back(sop);
  return wanted;
}

void WaiterList::Taken(size_t count) {
  size_ -= count;
  total_ -= count;
}

void AnswerAll(const std::vector<WaiterPtr>& readers, const InstancePtr& file) {
  for (const auto& reader : readers) reader->done(file);
}

void RefuseAll(const std::vector<WaiterPtr>& waiters, const Error& error) {
  for (const auto& waiter : waiters) waiter->Refuse(error);
}

}  // namespace tciafs::fetch
