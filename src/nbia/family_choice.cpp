// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/family_choice.h"

#include <array>
#include <limits>
#include <unordered_set>
#include <utility>

#include "nbia/limits.h"
#include "nbia/row_mapping.h"
#include "tciafs/util/log.h"

namespace tciafs::nbia {
namespace {

constexpr std::array kProbeOrder = {ApiFamily::kV4, ApiFamily::kV2, ApiFamily::kV1};

std::optional<ApiFamily> FamilyNamed(const std::string& name) {
  for (const ApiFamily family : kProbeOrder)
    if (name == FamilyName(family)) return family;
  return std::nullopt;
}

// The server itself is out of reach, or will not have us: asking in another family tells no more.
bool EndsProbe(const Refusal& refusal, bool anonymous) {
  switch (refusal.error.code) {
    case Errc::kTimedOut:
    case Errc::kOffline:
    case Errc::kCancelled:
    case Errc::kThrottled:
      return true;
    case Errc::kUnauthenticated:
      return !anonymous;
    default:
      return refusal.status == 0 || refusal.status >= 502;
  }
}

}  // namespace

struct FamilyChoice::Probe {
  std::shared_ptr<ActiveCall> call;
  size_t next = 0;
  std::optional<ApiFamily> empty;  // the first that answered, with nothing
  std::optional<Error> error;      // the first that says more than "no such call"
  bool error_is_no_such_path = false;
};

FamilyChoice::FamilyChoice(ApiFamily fixed, const Endpoints& endpoints, ApiClient& client,
                           ServerMemory& memory, const Clock& clock, Executor& executor,
                           ActiveCalls& calls)
    : fixed_(fixed),
      endpoints_(endpoints),
      client_(client),
      memory_(memory),
      clock_(clock),
      calls_(calls),
      memory_key_("api|" + endpoints.root_url()),
      waiting_(executor) {
  family_ = fixed != ApiFamily::kAuto ? fixed : FamilyNamed(memory_.Load(memory_key_));
  doubt_from_ms_ = std::numeric_limits<int64_t>::min();
}

void FamilyChoice::Settle(const std::shared_ptr<ActiveCall>& call, Callback<SettledFamily> done) {
  if (const auto family = current()) return done(SettledFamily{*family, std::nullopt});
  auto keep_call = [call, done = std::move(done)](Result<SettledFamily> settled) {
    done(std::move(settled));
  };
  if (!waiting_.Join(call->stop(), std::move(keep_call))) return;
  auto probe = std::make_shared<Probe>();
  probe->call = calls_.Begin({});
  ProbeNext(probe);
}

bool FamilyChoice::Doubt(ApiFamily family) {
  if (fixed_ != ApiFamily::kAuto) return false;
  MutexLock lock(mutex_);
  if (family_ != family) return true;  // settled otherwise meanwhile
  if (clock_.MonotonicMs() < doubt_from_ms_) return false;
  family_.reset();
  LogWarning("{}: API {} is gone, looking for another", endpoints_.host(), FamilyName(family));
  return true;
}

std::optional<ApiFamily> FamilyChoice::current() const {
  MutexLock lock(mutex_);
  if (provisional_until_ms_ != 0 && clock_.MonotonicMs() >= provisional_until_ms_)
    return std::nullopt;
  return family_;
}

void FamilyChoice::ReadCollections(const std::shared_ptr<ActiveCall>& call, ApiFamily family,
                                   bool probing, CollectionsDone done) {
  struct Found {
    Collections collections;
    std::unordered_set<source::CollectionId> seen;
  };
  auto found = std::make_shared<Found>();
  ApiCall api_call = endpoints_.Collections(family);
  if (probing) api_call.request.retry.retry_status_500 = false;  // also what a missing call answers
  RowReader::Spec rows;
  rows.on_begin = [found] { *found = {}; };
  rows.on_row = [found](std::string_view text) -> Status {
    TCIAFS_ASSIGN(const source::Attributes row, ParseRow(text));
    if (auto record = ToCollection(row); record && found->seen.insert(record->collection).second)
      found->collections.push_back(std::move(*record));
    return {};
  };
  client_.SendForRows(call, std::move(api_call), std::move(rows),
                      [found, done = std::move(done)](std::optional<Refusal> refusal) {
                        done(std::move(refusal), std::move(found->collections));
                      });
}

void FamilyChoice::ProbeNext(const std::shared_ptr<Probe>& probe) {
  if (probe->next == kProbeOrder.size()) return Conclude(probe);
  ReadCollections(probe->call, kProbeOrder[probe->next], true,
                  [this, probe](std::optional<Refusal> refusal, Collections collections) {
                    Judge(probe, std::move(refusal), std::move(collections));
                  });
}

void FamilyChoice::Judge(const std::shared_ptr<Probe>& probe, std::optional<Refusal> refusal,
                         Collections collections) {
  const ApiFamily family = kProbeOrder[probe->next++];
  if (refusal) {
    if (EndsProbe(*refusal, endpoints_.anonymous())) return waiting_.Complete(Fail(refusal->error));
    if (!probe->error || (probe->error_is_no_such_path && !refusal->no_such_path)) {
      probe->error = std::move(refusal->error);
      probe->error_is_no_such_path = refusal->no_such_path;
    }
    return ProbeNext(probe);
  }
  if (collections.empty()) {
    if (!probe->empty) probe->empty = family;
    return ProbeNext(probe);
  }
  {
    MutexLock lock(mutex_);
    family_ = family;
    provisional_until_ms_ = 0;
    doubt_from_ms_ = clock_.MonotonicMs() + kSettledAtLeastMs;
  }
  memory_.Save(memory_key_, FamilyName(family));
  LogInfo("{}: speaks API {}", endpoints_.host(), FamilyName(family));
  waiting_.Complete(SettledFamily{family, std::move(collections)});
}

// No family listed anything.
void FamilyChoice::Conclude(const std::shared_ptr<Probe>& probe) {
  if (!probe->empty && probe->error_is_no_such_path)
    return waiting_.Complete(
        Fail(Errc::kUnavailable,
             endpoints_.host() + ": no NBIA API at this address (" + probe->error->message + ")"));
  if (!probe->empty) return waiting_.Complete(Fail(*probe->error));
  {
    MutexLock lock(mutex_);
    family_ = probe->empty;
    provisional_until_ms_ = clock_.MonotonicMs() + kSettledAtLeastMs;
    doubt_from_ms_ = provisional_until_ms_;
  }
  waiting_.Complete(SettledFamily{*probe->empty, Collections()});
}

}  // namespace tciafs::nbia
