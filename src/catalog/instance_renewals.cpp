// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The part of Renewals that asks for instances: one request for the wanted series and as many
// others as are worth it, each of which counts as under way by itself.
#include <algorithm>
#include <utility>

#include "catalog/instance_plan.h"
#include "catalog/renewals.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kInstancesPerTransaction = 20'000;

}  // namespace

void Renewals::RequestInstances(const Request& request, bool with_others) {
  std::vector<Request> requests{request};
  if (with_others) AddOthers(requests);
  AskInstances(std::move(requests));
}

void Renewals::AddOthers(std::vector<Request>& requests) {
  const ObjectPath wanted = requests.front().unit;
  const int64_t now_ms = context_.clock.MonotonicMs();
  const bool on_a_walk = GoesOnWalk(wanted);
  const ObjectPath collection = ParentOf(ParentOf(ParentOf(wanted)));
  // After a request for many has failed: for a while only what is wanted.
  const auto blocked = [&](const FailureMemory& memory, const DirectoryKey& key) {
    return context_.Blocking(memory, key, wanted.server).has_value();
  };
  if (blocked(context_.unanswered, context_.Key(collection))) return;
  const auto wants = [&](const DirectoryKey& key) {
    return !blocked(context_.unanswered, key) && !blocked(context_.failures, key) && !IsFresh(key);
  };
  auto planned =
      PlanInstances(context_.store, context_.roots[wanted.server], wanted, on_a_walk, wants);
  std::vector<DirectoryKey> keys;
  for (const auto& series : planned) keys.push_back(context_.Key(series));
  MutexLock lock(mutex_);
  for (size_t i = 1; i < planned.size(); ++i) {
    const auto [flight, is_new] = flights_.try_emplace(keys[i]);
    if (!is_new) continue;
    flight->second.started_ms = now_ms;
    requests.push_back({std::move(planned[i]), keys[i]});
  }
}

void Renewals::AskInstances(std::vector<Request> requests) {
  std::vector<source::SeriesQuery> queries;
  queries.reserve(requests.size());
  for (const auto& [unit, key] : requests)
    queries.push_back({unit.collection, unit.patient, unit.study, unit.series});
  const size_t server = requests.front().unit.server;
  const auto shared = std::make_shared<const std::vector<Request>>(std::move(requests));
  using Answer = std::vector<source::InstanceListing>;
  context_.sources[server]->ListInstances(
      std::move(queries), context_.stop.get_token(),
      context_.OnStrand<Answer>(
          [this, shared](Result<Answer> answer) { InstancesArrived(*shared, std::move(answer)); }));
}

void Renewals::InstancesArrived(const std::vector<Request>& requests,
                                Result<std::vector<source::InstanceListing>> answer) {
  const size_t server = requests.front().unit.server;
  if (!answer) {
    context_.servers.NoteError(server, answer.error(), context_.clock.UnixMs());
    return ManyFailed(requests, answer.error());
  }
  auto listings = std::make_shared<ListingsBySeries>();
  size_t instances = 0;
  for (auto& listing : *answer) {
    instances += listing.instances.size();
    if (listing.instances.empty()) continue;
    std::string uid = listing.series.text();
    listings->insert_or_assign(std::move(uid), std::move(listing));
  }
  if (instances > context_.options.rows_of_answer_max)
    return ManyFailed(requests, {Errc::kUnavailable, "an absurd number of instances"});

  const Request& wanted = requests.front();
  auto answered = std::make_shared<std::vector<Request>>();
  for (const auto& request : requests) {
    if (requests.size() == 1 || listings->contains(request.unit.series.text()))
      answered->push_back(request);
    else if (&request == &wanted)
      AskInstances({request});  // not being in an answer for many is no empty answer
    else
      LeftOut(request);
  }
  if (answered->empty()) return NoteRows(server, false);
  const bool wanted_first = answered->front().key == wanted.key;
  std::sort(answered->begin() + (wanted_first ? 1 : 0), answered->end(),
            [](const Request& a, const Request& b) { return a.key < b.key; });
  StoreInstances(answered, 0, listings);
}

// True if `rows` are as many as the archive says the series has: then no cut answer.
bool Renewals::HasAllImages(const ObjectPath& series, const Rows& rows) const {
  const auto entry = context_.store.ReadEntry(context_.Key(ParentOf(series)), NameOf(series));
  if (!entry || !entry->head || entry->head->version.image_count < 0) return false;
  return static_cast<int64_t>(rows.size()) >= entry->head->version.image_count;
}

// Not being in an answer for many says little of a series: who waits for it has it asked for alone.
void Renewals::LeftOut(const Request& request) {
  context_.unanswered.Remember(request.key, {Errc::kUnavailable, "left out of an answer for many"},
                               context_.clock.MonotonicMs(), context_.options.negative_ttl_ms);
  if (IsAwaited(request.key)) AskInstances({request});
}

void Renewals::ManyFailed(const std::vector<Request>& requests, const Error& error) {
  const Request& wanted = requests.front();
  const bool worth_another =
      requests.size() > 1 && IsTransient(error.code) && !IsRefusedUnasked(error.code);
  if (!worth_another) {
    for (const auto& request : requests)
      if (&request == &wanted || IsAwaited(request.key)) Complete(request, Fail(error));
    return;
  }
  const ObjectPath collection = ParentOf(ParentOf(ParentOf(wanted.unit)));
  context_.unanswered.Remember(context_.Key(collection), error, context_.clock.MonotonicMs(),
                               context_.options.retry_after_failure_ms);
  for (const auto& request : requests)
    if (&request == &wanted || IsAwaited(request.key)) AskInstances({request});
}

// True if somebody waits for it; otherwise its flight ends here, without an outcome.
bool Renewals::IsAwaited(const DirectoryKey& key) {
  MutexLock lock(mutex_);
  const auto flight = flights_.find(key);
  if (flight == flights_.end()) return false;
  if (!flight->second.waiters.empty()) return true;
  Uncount(flight->second);
  flights_.erase(flight);
  return false;
}

// Stores some series in one transaction and passes the strand on; the first, the wanted one, alone.
void Renewals::StoreInstances(const std::shared_ptr<std::vector<Request>>& requests, size_t from,
                              const std::shared_ptr<ListingsBySeries>& listings) {
  const size_t server = requests->front().unit.server;
  size_t end = from;
  std::vector<std::pair<DirectoryKey, Rows>> directories;
  for (size_t rows = 0; end < requests->size() && rows < kInstancesPerTransaction; ++end) {
    if (from == 0 && end == 1) break;
    const Request& request = (*requests)[end];
    RowTree tree = context_.Tree(server);
    if (const auto listing = listings->find(request.unit.series.text()); listing != listings->end())
      tree.Add(listing->second, request.unit);
    directories.emplace_back(request.key, tree.TakeRows(request.key));
    rows += directories.back().second.size() + 1;
  }
  std::vector<Replaced> replaced;
  NoteRows(server, !directories.front().second.empty());
  const Status stored = [&]() -> Status {
    TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
    for (size_t i = from; i < end; ++i) {
      auto& [key, rows] = directories[i - from];
      AnswerTerms terms = Terms((*requests)[i]);
      terms.complete = HasAllImages((*requests)[i].unit, rows);
      TCIAFS_ASSIGN(const Replaced outcome,
                    write.Replace((*requests)[i].unit, key, std::move(rows), terms));
      replaced.push_back(outcome);
    }
    TCIAFS_TRY(write.Commit());
    context_.Publish(write);
    return {};
  }();
  for (size_t i = from; i < end; ++i) {
    const bool kept = stored && replaced[i - from] == Replaced::kKeptDespiteEmptyAnswer;
    Complete((*requests)[i], kept ? EmptyButKept() : stored);
  }
  if (end == requests->size()) return;
  context_.PostWrite([this, requests, end, listings] { StoreInstances(requests, end, listings); });
}

}  // namespace tciafs::catalog
