// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/renewals.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "tciafs/catalog/names.h"
#include "tciafs/util/log.h"

namespace tciafs::catalog {

ObjectPath UnitOf(const ObjectPath& directory) {
  return directory.level == Level::kStudy ? ParentOf(directory) : directory;
}

Status Renewals::EmptyButKept() {
  return Fail(Errc::kUnavailable,
              "the archive answered with nothing; keeping what it listed before");
}

bool Renewals::IsFresh(const DirectoryKey& key) const {
  const auto state = context_.store.ReadState(key);
  return state && context_.FreshMs(*state) > 0;
}

void Renewals::Renew(const ObjectPath& unit, Purpose purpose, Callback<void> done) {
  const Request request{unit, context_.Key(unit)};
  const bool awaited = done != nullptr;
  {
    MutexLock lock(mutex_);
    const auto found = flights_.find(request.key);
    if (found != flights_.end()) {
      if (awaited) found->second.waiters.push_back(std::move(done));
      return;
    }
    if (!awaited && requests_[unit.server] >= kRenewalsBehindMax) return;
    Flight& flight = flights_[request.key];
    flight.started_ms = context_.clock.MonotonicMs();
    Count(flight, unit.server);
    if (awaited) flight.waiters.push_back(std::move(done));
  }
  // The caller may have looked before an earlier request was stored.
  if (purpose != Purpose::kForced && IsFresh(request.key)) return Complete(request, {});
  const auto state = context_.store.ReadState(request.key);
  if (unit.level != Level::kRoot && state && state->emptied_at_ms > 0)
    return AskIfServed(request, purpose, awaited);
  Ask(request, purpose, awaited);
}

// A directory was answered empty. Lists are empty, too, for a token the server has forgotten: it is
// asked for again once the server has told this account its collections.
void Renewals::AskIfServed(const Request& request, Purpose purpose, bool awaited) {
  ObjectPath root;
  root.server = request.unit.server;
  Renew(root, Purpose::kForced, [this, request, root, purpose, awaited](const Status& status) {
    if (!status) return Complete(request, status);
    const auto collections = context_.store.ReadState(context_.Key(root));
    {
      MutexLock lock(mutex_);
      const auto flight = flights_.find(request.key);
      if (flight != flights_.end()) flight->second.served = collections && collections->entries > 0;
    }
    Ask(request, purpose, awaited);
  });
}

AnswerTerms Renewals::Terms(const Request& request) const {
  AnswerTerms terms = context_.Terms(request.unit.server);
  MutexLock lock(mutex_);
  const auto flight = flights_.find(request.key);
  terms.served = flight != flights_.end() && flight->second.served;
  return terms;
}

void Renewals::Ask(const Request& request, Purpose purpose, bool awaited) {
  switch (request.unit.level) {
    case Level::kRoot:
      return RequestCollections(request);
    case Level::kCollection:
      return RequestPatients(request);
    case Level::kPatient:
      return RenewPatient(request, purpose, awaited);
    case Level::kSeries:
      return context_.Post([this, request, purpose] {
        RequestInstances(request, /*with_others=*/purpose != Purpose::kForced);
      });
    case Level::kStudy:
    case Level::kInstance:
      return Complete(request, Fail(Errc::kInternal, "not a unit of renewal"));
  }
}

int64_t Renewals::AgeMs(const ObjectPath& unit) const {
  const DirectoryKey key = context_.Key(unit);
  MutexLock lock(mutex_);
  const auto found = flights_.find(key);
  return found == flights_.end() ? 0 : context_.clock.MonotonicMs() - found->second.started_ms;
}

std::vector<Callback<void>> Renewals::TakeWaiters(const DirectoryKey& key) {
  MutexLock lock(mutex_);
  const auto found = flights_.find(key);
  if (found == flights_.end()) return {};
  auto waiters = std::move(found->second.waiters);
  Uncount(found->second);
  flights_.erase(found);
  return waiters;
}

void Renewals::Count(Flight& flight, size_t server) {
  if (flight.counts_for) return;
  flight.counts_for = server;
  ++requests_[server];
}

void Renewals::Uncount(Flight& flight) {
  if (flight.counts_for) --requests_[*flight.counts_for];
  flight.counts_for.reset();
}

void Renewals::Complete(const Request& request, const Status& status) {
  if (status) {
    context_.failures.Forget(request.key);
  } else if (status.error().code != Errc::kCancelled) {
    const auto state = context_.store.ReadState(request.key);
    const bool others_stand_in = request.unit.level == Level::kRoot && context_.sources.size() > 1;
    int64_t pause_ms = context_.options.retry_after_failure_ms;
    if (status.error().code == Errc::kNotFound)
      pause_ms = context_.options.negative_ttl_ms;
    else if (!(state && state->listed) && !others_stand_in)
      pause_ms = kFirstFailureMemoryMs;
    const bool listed = state && state->listed;
    context_.failures.Remember(request.key, status.error(), context_.clock.MonotonicMs(), pause_ms,
                               listed);
    if (listed && !IsRefusedUnasked(status.error().code))
      LogWarning("{}: not renewed: {}", request.unit.Text(), status.error().message);
  }
  for (const auto& waiter : TakeWaiters(request.key)) waiter(status);
}

void Renewals::Abort() {
  std::map<DirectoryKey, Flight> flights;
  {
    MutexLock lock(mutex_);
    flights.swap(flights_);
    std::fill(requests_.begin(), requests_.end(), 0);
  }
  for (const auto& [key, flight] : flights)
    for (const auto& waiter : flight.waiters)
      waiter(Fail(Errc::kCancelled, "the catalog has ended"));
}

void Renewals::NoteRows(size_t server, bool any) {
  if (any)
    context_.servers.NoteContent(server, context_.clock.UnixMs());
  else
    context_.servers.NoteAnswer(server);
}

// --- collections and patients

void Renewals::RequestCollections(const Request& request) {
  using Answer = std::vector<source::CollectionRecord>;
  context_.sources[request.unit.server]->ListCollections(
      context_.stop.get_token(), context_.OnStrand<Answer>([this, request](Result<Answer> answer) {
        if (!answer) {
          context_.servers.NoteError(request.unit.server, answer.error(), context_.clock.UnixMs());
          return Complete(request, Fail(answer.error()));
        }
        RowTree tree = context_.Tree(request.unit.server);
        for (const auto& record : *answer) tree.Add(record);
        Complete(request, StoreDirectory(request, tree));
      }));
}

void Renewals::RequestPatients(const Request& request) {
  using Answer = std::vector<source::PatientRecord>;
  const auto& collection = request.unit.collection;
  context_.sources[request.unit.server]->ListPatients(
      collection, context_.stop.get_token(),
      context_.OnStrand<Answer>([this, request, collection](Result<Answer> answer) {
        if (!answer) {
          context_.servers.NoteError(request.unit.server, answer.error(), context_.clock.UnixMs());
          return Complete(request, Fail(answer.error()));
        }
        RowTree tree = context_.Tree(request.unit.server);
        for (const auto& record : *answer) tree.Add(record, collection);
        Complete(request, StoreDirectory(request, tree));
      }));
}

Status Renewals::StoreDirectory(const Request& request, RowTree& tree) {
  const Rows rows = tree.TakeRows(request.key);
  if (rows.size() > context_.options.rows_of_answer_max)
    return Fail(Errc::kUnavailable, "the archive answered with an absurd number of names");
  const size_t server = request.unit.server;
  const AnswerTerms terms = Terms(request);
  NoteRows(server, !rows.empty());
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  const auto before = write.State(request.key);
  TCIAFS_TRY(write.PutSharedTexts(tree.shared_texts()));
  TCIAFS_ASSIGN(const Replaced replaced, write.Replace(request.unit, request.key, rows, terms));
  TCIAFS_TRY(write.Commit());
  if (request.unit.level == Level::kRoot)
    TellRootChange(request, !(before && before->listed), rows, write);
  context_.Publish(write);
  if (replaced == Replaced::kKeptDespiteEmptyAnswer) return EmptyButKept();
  return {};
}

// The root is the union of the servers': what one of them adds or drops may stand there already,
// or still, through another. A server that is late adds its names to a root already answered.
void Renewals::TellRootChange(const Request& request, bool is_first, const Rows& rows,
                              DirectoryWrite& write) {
  std::vector<Change> changes = write.TakeChanges();
  const bool answered_without_it = [&] {
    if (!is_first) return false;
    for (size_t server = 0; server < context_.roots.size(); ++server) {
      const auto state = context_.store.ReadState(context_.roots[server]);
      if (server != request.unit.server && state && state->listed) return true;
    }
    return false;
  }();
  if (answered_without_it && !rows.empty()) {
    Change& arrival = changes.emplace_back();
    arrival.directory = request.unit;
    for (const auto& [name, row] : rows) arrival.added.push_back(name);
  }
  const auto stands_elsewhere = [&](const std::string& name) {
    for (size_t server = 0; server < context_.roots.size(); ++server) {
      if (server == request.unit.server) continue;
      const auto entry = context_.store.ReadEntry(context_.roots[server], name);
      if (entry && entry->head) return true;
    }
    return false;
  };
  for (Change& change : changes) {
    change.directory = ObjectPath{};
    for (auto* names : {&change.removed, &change.added}) {
      const auto moved =
          std::stable_partition(names->begin(), names->end(),
                                [&](const std::string& name) { return !stands_elsewhere(name); });
      change.changed.insert(change.changed.end(), moved, names->end());
      names->erase(moved, names->end());
    }
  }
  write.PutChanges(std::move(changes));
}

// --- studies and series of a patient

bool Renewals::GoesOnWalk(const ObjectPath& unit) {
  const DirectoryKey collection = context_.Key(unit.At(Level::kCollection));
  const std::string name = EncodeName(unit.patient.text());
  const auto names = context_.store.ReadNames(collection, name, 2);
  std::string successor;
  if (names && names->size() == 2 && names->front() == name) successor = names->back();
  return context_.walks.Note(collection, name, successor, context_.clock.MonotonicMs());
}

void Renewals::RenewPatient(const Request& request, Purpose purpose, bool awaited) {
  if (purpose != Purpose::kListing || !GoesOnWalk(request.unit))
    return RequestPatientSeries(request);
  if (!awaited) {
    if (!bulks_.Join(ParentOf(request.unit), nullptr)) return RequestPatientSeries(request);
    if (!IsAwaited(request.key)) return;  // the bulk is what is under way
  }
  AwaitBulk(request);
}

void Renewals::AwaitBulk(const Request& request) {
  const auto gone_on = std::make_shared<std::atomic<bool>>(false);
  const auto wait_ms = bulks_.Join(ParentOf(request.unit), [this, request, gone_on](Status) {
    if (gone_on->exchange(true)) return;
    if (IsFresh(request.key)) return Complete(request, {});
    RequestPatientSeries(request);
  });
  if (!wait_ms) return RequestPatientSeries(request);
  {
    MutexLock lock(mutex_);
    const auto flight = flights_.find(request.key);
    if (flight != flights_.end() && !*gone_on) Uncount(flight->second);
  }
  const auto go_on = [this, request, gone_on] {
    if (!gone_on->exchange(true)) RequestPatientSeries(request);
  };
  if (*wait_ms == 0)
    go_on();
  else
    context_.PostAfter(*wait_ms, go_on);
}

void Renewals::RequestPatientSeries(const Request& request) {
  {
    MutexLock lock(mutex_);
    const auto flight = flights_.find(request.key);
    if (flight != flights_.end()) Count(flight->second, request.unit.server);
  }
  using Answer = std::vector<source::SeriesRecord>;
  context_.sources[request.unit.server]->ListPatientSeries(
      request.unit.collection, request.unit.patient, context_.stop.get_token(),
      context_.OnStrand<Answer>([this, request](Result<Answer> answer) {
        if (!answer && answer.error().code == Errc::kNotFound) answer = Answer();
        if (!answer) {
          context_.servers.NoteError(request.unit.server, answer.error(), context_.clock.UnixMs());
          return Complete(request, Fail(answer.error()));
        }
        Complete(request, StorePatientSeries(request, *answer));
      }));
}

Status Renewals::StorePatientSeries(const Request& request,
                                    const std::vector<source::SeriesRecord>& records) {
  const ObjectPath& unit = request.unit;
  if (records.size() > context_.options.rows_of_answer_max)
    return Fail(Errc::kUnavailable, "the archive answered with an absurd number of series");
  RowTree tree = context_.Tree(unit.server);
  for (const auto& record : records) tree.Add(record, unit.collection, unit.patient);
  const ObjectPath collection = ParentOf(unit);
  const DirectoryKey collection_key = context_.Key(collection);
  const AnswerTerms terms = Terms(request);
  const bool any = !tree.directories().empty();
  NoteRows(unit.server, any);
  TCIAFS_ASSIGN(DirectoryWrite write, context_.store.Begin());
  if (!any && !write.State(request.key) && !write.Contains(collection_key, NameOf(unit)))
    return Fail(Errc::kNotFound, unit.Text() + ": the archive has no such patient");
  TCIAFS_TRY(write.PutSharedTexts(tree.shared_texts()));
  TCIAFS_ASSIGN(const Replaced replaced,
                write.Replace(unit, request.key, tree.TakeRows(request.key), terms));
  for (auto& [key, directory] : tree.directories()) {
    if (directory.path.level == Level::kCollection)
      TCIAFS_TRY(write.Merge(directory.path, key, directory.rows));
    else if (directory.path.level == Level::kStudy) {
      TCIAFS_ASSIGN(const Replaced study,
                    write.Replace(directory.path, key, std::move(directory.rows), terms));
      // The patient is what is asked for again.
      if (study != Replaced::kYes) TCIAFS_TRY(write.MarkProvisional(request.key));
    }
  }
  TCIAFS_TRY(write.Commit());
  context_.Publish(write);
  if (replaced == Replaced::kKeptDespiteEmptyAnswer) return EmptyButKept();
  return {};
}

}  // namespace tciafs::catalog
