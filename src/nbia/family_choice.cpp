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
constexpr int kOddAnswersMax = 2;  // one may be a hiccup

// v1 takes no token and lists what is public whoever asks.
size_t ProbeLength(bool anonymous) { return anonymous ? kProbeOrder.size() : 2; }

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

// No list though no failure either: a web page, nothing, or a redirect that is not followed (which
// looks like a connection that broke; asking anew does no harm then).
bool IsNoList(const Refusal& refusal) {
  return refusal.error.code == Errc::kUnavailable && refusal.status < 400;
}

}  // namespace

struct FamilyChoice::Probe {
  std::shared_ptr<ActiveCall> call;
  size_t next = 0;
  std::optional<ApiFamily> empty;  // the first that answered, with nothing
  std::optional<Error> error;      // the first that says more than "no such call"
  bool better_may_return = false;  // one asked before is there, but lists nothing or fails
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
      memory_key_("api|" + endpoints.root_url() + '|' + endpoints.account()),
      waiting_(executor) {
  family_ = fixed != ApiFamily::kAuto ? fixed : FamilyNamed(memory_.Load(memory_key_));
  if (fixed == ApiFamily::kAuto && family_ == ApiFamily::kV1 && !endpoints.anonymous())
    family_.reset();
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
  doubted_ = std::exchange(family_, std::nullopt);
  odd_answers_ = 0;
  LogWarning("{}: API {} is of no use any more, looking for another", endpoints_.host(),
             FamilyName(family));
  return true;
}

std::optional<Refusal> FamilyChoice::Appraise(ApiFamily family, std::optional<Refusal> refusal,
                                              bool empty) {
  if (refusal && !IsNoList(*refusal)) return refusal;
  MutexLock lock(mutex_);
  if (fixed_ != ApiFamily::kAuto || family_ != family) return refusal;
  if (!refusal && !empty) {
    odd_answers_ = 0;
    return refusal;
  }
  if (odd_answers_ < kOddAnswersMax) ++odd_answers_;
  if (odd_answers_ < kOddAnswersMax || clock_.MonotonicMs() < doubt_from_ms_) return refusal;
  if (!refusal) {
    const Question question = endpoints_.Collections(family).question;
    refusal = Refusal{ReadWrongBody(question, "the collections", "")};
  }
  refusal->no_such_path = true;
  return refusal;
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
  rows.limits.body_bytes_max = kKeptListBytesMax;
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
  if (probe->next == ProbeLength(endpoints_.anonymous())) return Conclude(probe);
  ReadCollections(probe->call, kProbeOrder[probe->next], true,
                  [this, probe](std::optional<Refusal> refusal, Collections collections) {
                    Judge(probe, std::move(refusal), std::move(collections));
                  });
}

void FamilyChoice::Judge(const std::shared_ptr<Probe>& probe, std::optional<Refusal> refusal,
                         Collections collections) {
  const ApiFamily family = kProbeOrder[probe->next++];
  if (refusal) {
    if (EndsProbe(*refusal, endpoints_.anonymous())) return GiveUp(refusal->error);
    if (refusal->status >= 500 && !refusal->no_such_path) probe->better_may_return = true;
    if (!probe->error || (probe->error_is_no_such_path && !refusal->no_such_path)) {
      probe->error = std::move(refusal->error);
      probe->error_is_no_such_path = refusal->no_such_path;
    }
    return ProbeNext(probe);
  }
  if (collections.empty()) {
    if (!probe->empty) probe->empty = family;
    probe->better_may_return = true;
    return ProbeNext(probe);
  }
  Hold(family, probe->better_may_return);
  if (!probe->better_may_return) memory_.Save(memory_key_, FamilyName(family));
  LogInfo("{}: speaks API {}", endpoints_.host(), FamilyName(family));
  waiting_.Complete(SettledFamily{family, std::move(collections)});
}

// No family listed anything.
void FamilyChoice::Conclude(const std::shared_ptr<Probe>& probe) {
  if (!probe->empty && probe->error_is_no_such_path) {
    return GiveUp(NoApiHere(endpoints_.host(), !endpoints_.anonymous(), *probe->error));
  }
  if (!probe->empty) return GiveUp(*probe->error);
  Hold(*probe->empty, true);
  waiting_.Complete(SettledFamily{*probe->empty, Collections()});
}

void FamilyChoice::Hold(ApiFamily family, bool provisional) {
  MutexLock lock(mutex_);
  family_ = family;
  doubted_.reset();
  odd_answers_ = 0;
  doubt_from_ms_ = clock_.MonotonicMs() + kSettledAtLeastMs;
  provisional_until_ms_ = provisional ? doubt_from_ms_ : 0;
}

// A family that was doubted is still the best guess: it is kept, and left undoubted for a while.
void FamilyChoice::GiveUp(const Error& error) {
  {
    MutexLock lock(mutex_);
    if (doubted_) {
      family_ = std::exchange(doubted_, std::nullopt);
      provisional_until_ms_ = 0;
      doubt_from_ms_ = clock_.MonotonicMs() + kSettledAtLeastMs;
    }
  }
  waiting_.Complete(Fail(error));
}

}  // namespace tciafs::nbia
