// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/whole_listing.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kNamesPerLook = 1'000;
constexpr int64_t kBusyPauseMs = 500;  // while the server has enough bulks under way

}  // namespace

struct WholeListings::Run {
  Run(ObjectPath of, DirectoryKey of_key, Callback<void> then)
      : collection(std::move(of)), key(of_key), done(std::move(then)) {}
  const ObjectPath collection;
  const DirectoryKey key;
  const Callback<void> done;
  std::atomic<bool> ended = false;
  std::atomic<int64_t> progress_ms = 0;  // when something was last heard

  // Of one thread at a time, until patients are asked for one by one.
  bool asked_bulk = false;
  std::optional<Error> bulk_error;
  std::vector<ObjectPath> unlisted;
  size_t unlisted_count = 0;  // also of those beyond what is worth remembering
  std::vector<ObjectPath> old;

  Mutex mutex;
  size_t next TCIAFS_GUARDED_BY(mutex) = 0;  // of `unlisted`
  size_t under_way TCIAFS_GUARDED_BY(mutex) = 0;
};

void WholeListings::Complete(const ObjectPath& collection, Callback<void> done) {
  const auto run = std::make_shared<Run>(collection, context_.Key(collection), std::move(done));
  {
    MutexLock lock(mutex_);
    runs_.insert(run);
  }
  NoteProgress(*run);
  Watch(run, context_.options.whole_patience_ms);
  context_.Post([this, run] { Look(run); });
}

void WholeListings::NoteProgress(Run& run) { run.progress_ms = context_.clock.MonotonicMs(); }

// Ends the wait, not the requests: their answers are stored when they come.
void WholeListings::Watch(const RunPtr& run, int64_t after_ms) {
  context_.PostAfter(after_ms, [this, run] {
    if (run->ended) return;
    const int64_t patience_ms = context_.options.whole_patience_ms;
    const int64_t heard_ms =
        std::max(run->progress_ms.load(), renewals_.bulks().ProgressMs(run->collection));
    const int64_t silent_ms = context_.clock.MonotonicMs() - heard_ms;
    if (silent_ms < patience_ms) return Watch(run, patience_ms - silent_ms);
    End(run, Fail(Errc::kTimedOut,
                  fmt::format("no progress for {} s in listing all its series; the answer is still "
                              "awaited, try again",
                              patience_ms / 1000)));
  });
}

void WholeListings::End(const RunPtr& run, const Status& status) {
  if (run->ended.exchange(true)) return;
  {
    MutexLock lock(mutex_);
    runs_.erase(run);
  }
  if (status)
    failures_.Forget(run->key);
  else if (status.error().code != Errc::kCancelled)
    failures_.Remember(run->key, status.error(), context_.clock.MonotonicMs(), 0);
  run->done(status);
}

void WholeListings::Abort() {
  std::set<RunPtr> runs;
  {
    MutexLock lock(mutex_);
    runs = runs_;
  }
  for (const RunPtr& run : runs) End(run, Fail(Errc::kCancelled, "the catalog has ended"));
}

void WholeListings::Look(const RunPtr& run) {
  if (run->ended) return;
  NoteProgress(*run);
  if (auto found = FindUnlisted(*run); !found) return End(run, found);
  if (run->unlisted_count == 0) {
    RenewOld(*run);
    return End(run, {});
  }
  if (run->unlisted_count > kFewPatientsMax && !run->asked_bulk) return AskBulk(run);
  AskSingly(run);
}

Status WholeListings::FindUnlisted(Run& run) {
  run.unlisted.clear();
  run.old.clear();
  run.unlisted_count = 0;
  for (std::string from;;) {
    TCIAFS_ASSIGN(auto names, context_.store.ReadNames(run.key, from, kNamesPerLook + 1));
    const bool more = names.size() > kNamesPerLook;
    if (more) {
      from = std::move(names.back());
      names.pop_back();
    }
    for (const std::string& name : names) {
      const auto id = DecodeName(name);
      const auto state = id ? context_.store.ReadState(ChildKey(run.key, *id)) : std::nullopt;
      if (!id) continue;
      const bool listed = state && state->listed;
      if (!listed && ++run.unlisted_count <= kSinglePatientsMax)
        run.unlisted.push_back(run.collection.Child(*id, run.collection.server));
      if (listed && context_.FreshMs(*state) == 0 && run.old.size() <= kFewPatientsMax)
        run.old.push_back(run.collection.Child(*id, run.collection.server));
    }
    if (!more) return {};
  }
}

void WholeListings::RenewOld(Run& run) {
  if (run.old.size() > kFewPatientsMax) {
    renewals_.bulks().Join(run.collection, nullptr);
    return;
  }
  for (const ObjectPath& patient : run.old)
    if (!context_.Blocking(patient)) renewals_.Renew(patient, Purpose::kOnePatient, nullptr);
}

void WholeListings::AskBulk(const RunPtr& run) {
  run->bulk_error = renewals_.bulks().Failure(run->collection);
  const auto joined = renewals_.bulks().Join(run->collection, [this, run](const Status& status) {
    context_.Post([this, run, status] {
      run->asked_bulk = true;
      if (!status) run->bulk_error = status.error();
      Look(run);
    });
  });
  if (joined) return;
  if (renewals_.bulks().IsBusy(run->collection.server))
    return context_.PostAfter(kBusyPauseMs, [this, run] { Look(run); });
  AskSingly(run);
}

void WholeListings::AskSingly(const RunPtr& run) {
  if (run->unlisted_count > kSinglePatientsMax) {
    if (run->bulk_error) return End(run, Fail(*run->bulk_error));
    return End(run, Fail(Errc::kUnavailable,
                         fmt::format("the archive has not told the series of {} patients",
                                     run->unlisted_count)));
  }
  for (size_t i = 0; i < kSinglePatientsAtOnceMax; ++i) AskNext(run);
}

void WholeListings::AskNext(const RunPtr& run) {
  size_t at = 0;
  bool last = false;
  {
    MutexLock lock(run->mutex);
    at = run->next;
    if (at < run->unlisted.size())
      ++run->next, ++run->under_way;
    else
      last = run->under_way == 0;
  }
  if (run->ended) return;
  if (last) return End(run, {});
  if (at >= run->unlisted.size()) return;
  const ObjectPath& patient = run->unlisted[at];
  const auto answered = [this, run](const Status& status) {
    NoteProgress(*run);
    {
      MutexLock lock(run->mutex);
      --run->under_way;
    }
    if (!status) return End(run, status);
    // On a thread of its own: an answer at hand must not call deeper and deeper.
    context_.Post([this, run] { AskNext(run); });
  };
  if (const auto error = context_.Blocking(patient)) return answered(Fail(*error));
  renewals_.Renew(patient, Purpose::kOnePatient, answered);
}

}  // namespace tciafs::catalog
