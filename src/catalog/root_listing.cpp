// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/root_listing.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <utility>

namespace tciafs::catalog {
namespace {

constexpr int64_t kIncompleteFreshMs = 1'000;  // while a server's collections are missing

}  // namespace

struct RootListing::Gathering {
  explicit Gathering(std::function<void()> function) : go(std::move(function)) {}
  void Go() {
    if (!gone.exchange(true)) go();
  }
  const std::function<void()> go;
  std::atomic<bool> gone = false;
  std::atomic<bool> answered = false;
  std::atomic<size_t> missing = 0;
};

ObjectPath RootListing::RootOf(size_t server) const {
  ObjectPath root;
  root.server = server;
  return root;
}

void RootListing::RenewBehind(size_t server) {
  if (!context_.Blocking(RootOf(server)))
    renewals_.Renew(RootOf(server), Purpose::kListing, nullptr);
}

std::vector<size_t> RootListing::Missing(bool stale_too, bool* others_answered) {
  std::vector<size_t> missing;
  *others_answered = false;
  for (size_t server = 0; server < context_.roots.size(); ++server) {
    const auto state = context_.store.ReadState(context_.roots[server]);
    const bool listed = state && state->listed;
    *others_answered = *others_answered || listed;
    const bool wanted = !listed || (stale_too && context_.FreshMs(*state) == 0);
    if (wanted && !context_.Blocking(RootOf(server))) missing.push_back(server);
  }
  return missing;
}

void RootListing::Gather(const std::vector<size_t>& missing, bool others_answered,
                         std::function<void()> go) {
  if (missing.empty()) return go();
  const auto gathering = std::make_shared<Gathering>(std::move(go));
  gathering->missing = missing.size();
  int64_t age_ms = 0;
  for (const size_t server : missing) age_ms = std::max(age_ms, renewals_.AgeMs(RootOf(server)));
  const auto start_patience = [this, gathering](int64_t patience_ms) {
    if (gathering->answered.exchange(true)) return;
    context_.PostAfter(patience_ms, [gathering] { gathering->Go(); });
  };
  for (const size_t server : missing) {
    renewals_.Renew(RootOf(server), Purpose::kListing,
                    [this, gathering, start_patience](Status status) {
                      const bool was_last = --gathering->missing == 0;
                      if (was_last)
                        gathering->Go();
                      else if (status)
                        start_patience(context_.options.server_patience_ms);
                    });
  }
  // A server that has kept others waiting already does not get its time anew.
  if (!others_answered || gathering->gone) return;
  const int64_t patience_ms = context_.options.server_patience_ms - age_ms;
  if (patience_ms > 0)
    start_patience(patience_ms);
  else
    gathering->Go();
}

Error RootListing::FirstError() const {
  for (const auto& root : context_.roots)
    if (auto error = context_.failures.Last(root)) return *std::move(error);
  return {Errc::kUnavailable, "no server has answered yet"};
}

Result<ListAnswer> RootListing::Union() {
  ListAnswer answer{nullptr, context_.options.ttl_ms};
  std::map<std::string, Entry> entries;
  auto listing = std::make_shared<Listing>();
  bool any = false;
  for (size_t server = 0; server < context_.roots.size(); ++server) {
    const auto stored = context_.ReadListing(context_.roots[server], server);
    if (!stored) {
      answer.fresh_for_ms = std::min(answer.fresh_for_ms, kIncompleteFreshMs);
      continue;
    }
    any = true;
    const int64_t fresh_ms = context_.FreshMs(stored->state);
    answer.fresh_for_ms = std::min(answer.fresh_for_ms, fresh_ms);
    if (fresh_ms == 0) RenewBehind(server);
    listing->version += stored->listing->version;
    for (const auto& entry : stored->listing->entries) entries.try_emplace(entry.name, entry);
  }
  if (!any) return Fail(FirstError());
  listing->entries.reserve(entries.size());
  for (auto& [name, entry] : entries) listing->entries.push_back(std::move(entry));
  answer.listing = std::move(listing);
  return answer;
}

void RootListing::List(std::stop_token stop, Callback<ListAnswer> done) {
  bool others_answered = false;
  const auto missing = Missing(/*stale_too=*/false, &others_answered);
  if (missing.empty()) return done(Union());
  auto waiter = Waiter<ListAnswer>::Create(std::move(stop), std::move(done));
  Gather(missing, others_answered, [this, waiter] { waiter->Finish(Union()); });
}

Result<LookupAnswer> RootListing::Find(const std::string& name) {
  for (size_t server = 0; server < context_.roots.size(); ++server) {
    const auto stored = context_.store.ReadEntry(context_.roots[server], name);
    if (!stored || !stored->head || !stored->state) continue;
    const int64_t fresh_ms = context_.FreshMs(*stored->state);
    if (fresh_ms == 0) RenewBehind(server);
    return LookupAnswer{{name, server, stored->head->modified_s, -1}, fresh_ms};
  }
  return Fail(Errc::kNotFound, "no server lists the collection " + name);
}

void RootListing::Lookup(const std::string& name, std::stop_token stop,
                         Callback<LookupAnswer> done) {
  auto found = Find(name);
  bool others_answered = false;
  const auto missing =
      found ? std::vector<size_t>() : Missing(/*stale_too=*/true, &others_answered);
  const auto or_failure = [this](Result<LookupAnswer> answer) -> Result<LookupAnswer> {
    if (answer) return answer;
    // A server whose collections nobody has ever seen may well have it.
    for (const auto& root : context_.roots) {
      const auto state = context_.store.ReadState(root);
      const auto error = context_.failures.Last(root);
      if (!(state && state->listed) && error) return Fail(*error);
    }
    return answer;
  };
  // An answer may have come after the first look, and before the servers were seen to be fresh.
  if (missing.empty()) return done(or_failure(found ? std::move(found) : Find(name)));
  auto waiter = Waiter<LookupAnswer>::Create(std::move(stop), std::move(done));
  Gather(missing, others_answered, [this, waiter, name, or_failure] {
    if (context_.stop.stop_requested())
      return waiter->Finish(Fail(Errc::kCancelled, "the catalog has ended"));
    waiter->Finish(or_failure(Find(name)));
  });
}

void RootListing::Refresh(Callback<void> done) {
  struct Refreshed {
    Mutex mutex;
    size_t missing TCIAFS_GUARDED_BY(mutex) = 0;
    bool any TCIAFS_GUARDED_BY(mutex) = false;
    std::optional<Error> error TCIAFS_GUARDED_BY(mutex);
  };
  const auto refreshed = std::make_shared<Refreshed>();
  {
    MutexLock lock(refreshed->mutex);
    refreshed->missing = context_.roots.size();
  }
  for (size_t server = 0; server < context_.roots.size(); ++server) {
    renewals_.Renew(RootOf(server), Purpose::kForced, [refreshed, done](Status status) {
      Status outcome;
      {
        MutexLock lock(refreshed->mutex);
        if (status)
          refreshed->any = true;
        else if (!refreshed->error)
          refreshed->error = status.error();
        if (--refreshed->missing > 0) return;
        if (!refreshed->any && refreshed->error) outcome = Fail(*refreshed->error);
      }
      done(std::move(outcome));
    });
  }
}

std::string RootListing::LastError() const {
  std::string errors;
  for (size_t server = 0; server < context_.roots.size(); ++server) {
    const auto error = context_.failures.Last(context_.roots[server]);
    if (!error) continue;
    if (!errors.empty()) errors += "; ";
    errors += error->message;
  }
  return errors;
}

}  // namespace tciafs::catalog
