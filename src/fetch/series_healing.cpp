// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The part of SeriesDownload that looks at what is missing, and fetches it image by image where
// that may do what a stream of the whole series does not. On the strand, but for what says so.
#include <fmt/core.h>

#include <algorithm>

#include "fetch/series_download.h"
#include "tciafs/fetch/limits.h"
#include "tciafs/util/log.h"

namespace tciafs::fetch {
namespace {

// What a single image met that every other would meet too.
bool EndsHealing(const SinkOutcome& outcome) {
  switch (outcome.status.error().code) {
    case Errc::kTimedOut:
    case Errc::kPermission:
    case Errc::kUnauthenticated:
    case Errc::kUnreachable:
    case Errc::kOffline:
    case Errc::kNoSpace:
      return true;
    default:
      return outcome.ours && outcome.status.error().code != Errc::kCorrupt;
  }
}

}  // namespace

bool SeriesDownload::NearlyComplete() const {
  const int64_t announced = intake_.plan.version.image_count;
  if (announced <= 0) return false;
  const auto known = core_->cache.Known(key(), intake_.plan.version);
  const int64_t cached = std::count_if(known.begin(), known.end(),
                                       [](const auto& instance) { return instance.cached; });
  return cached > 0 && announced - cached <= std::max<int64_t>(1, announced / kNearlyCompleteShare);
}

// A whole stream was had, and had none of what is wanted: single images may do better, and cost
// little.
bool SeriesDownload::OnlyLeftOutWanted() const {
  MutexLock lock(mutex_);
  const auto wanted = waiters_.Wanted();
  return !wanted.empty() && wanted.size() <= kSinglesMax && !waiters_.WantSeries() &&
         !waiters_.Contains(source::SopUid()) &&
         std::all_of(wanted.begin(), wanted.end(), [this](const auto& sop) {
           return core_->failures.LeftOut(key(), sop, intake_.plan.version);
         });
}

// The whole series is wanted, and so that which no reader has asked for.
bool SeriesDownload::ListingMayHelp() const {
  const int64_t announced = intake_.plan.version.image_count;
  const bool others_came = announced < 0 || findings_.instances != announced;
  if (listed_ || findings_.complete || !others_came) return false;
  MutexLock lock(mutex_);
  return waiters_.WantSeries();
}

void SeriesDownload::List() {
  listed_ = true;
  Enter(Phase::kHealing);
  source_.ListInstances({Query()}, stop_.get_token(), [self = shared_from_this()](auto listings) {
    self->Run(
        [self = self.get(), listings = std::move(listings)] { self->AfterListing(listings); });
  });
}

void SeriesDownload::AfterListing(const Result<std::vector<source::InstanceListing>>& listings) {
  if (!listings) {
    LogInfo("series {}: its instances could not be listed: {}", key().series.text(),
            listings.error().message);
    return Heal();
  }
  std::unordered_set<source::SopUid> lacking;
  for (const auto& listing : *listings)
    for (const auto& instance : listing.instances)
      if (listing.series == key().series && !instance.sop.empty()) lacking.insert(instance.sop);
  const bool all_listed = static_cast<int64_t>(lacking.size()) == intake_.plan.version.image_count;
  std::vector<source::SopUid> foreign;
  for (const auto& known : core_->cache.Known(key(), intake_.plan.version))
    if (known.cached && lacking.erase(known.sop) == 0 && all_listed) foreign.push_back(known.sop);
  {
    MutexLock lock(mutex_);
    lacking_ = std::move(lacking);
  }
  for (const auto& sop : foreign) DropForeign(sop);
  Heal();
}

// Single images came without a sum: they are fetched once more where their size is told.
void SeriesDownload::ListSizes() {
  sizes_listed_ = true;
  source_.ListInstances({Query()}, stop_.get_token(), [self = shared_from_this()](auto listings) {
    self->Run([self = self.get(), listings = std::move(listings)] { self->AfterSizes(listings); });
  });
}

void SeriesDownload::AfterSizes(const Result<std::vector<source::InstanceListing>>& listings) {
  std::unordered_set<source::SopUid> told;
  if (listings) {
    MutexLock turn(intake_.turn);
    for (const auto& listing : *listings)
      for (const auto& instance : listing.instances)
        if (listing.series == key().series && instance.size_bytes >= 0) {
          intake_.ledger.ExpectSize(instance.sop, instance.size_bytes);
          told.insert(instance.sop);
        }
  }
  {
    MutexLock lock(mutex_);
    for (const auto& sop : unproven_)
      if (told.contains(sop)) tried_singly_.erase(sop);
  }
  unproven_.clear();
  Heal();
}

// A stream brought it, and it is none of the series.
void SeriesDownload::DropForeign(const source::SopUid& sop) {
  LogWarning("series {}: instance {} is none of it", key().series.text(), sop.text());
  {
    MutexLock lock(mutex_);
    published_.erase(sop);
  }
  MutexLock turn(intake_.turn);
  const auto status = intake_.writer->Withdraw(sop);
  if (!status) LogError("withdrawing instance {}: {}", sop.text(), status.error().message);
}

// Takes back what its MD5 or its size proves wrong; it counts as missing and as wanted.
void SeriesDownload::Assess() {
  const auto known = core_->cache.Known(key(), intake_.plan.version);
  {
    MutexLock turn(intake_.turn);
    findings_ = intake_.ledger.Assess(known);
    for (const auto& sop : findings_.damaged) {
      LogWarning("series {}: instance {} is not intact and is fetched again", key().series.text(),
                 sop.text());
      const auto status = intake_.writer->Withdraw(sop);
      if (!status) LogError("withdrawing instance {}: {}", sop.text(), status.error().message);
    }
  }
  for (const auto& sop : findings_.damaged) OnWithdrawn(sop);
}

void SeriesDownload::Heal() {
  if (singles_under_way_ == 0 && EndedByCancel()) return;
  while (!fatal_error_ && singles_under_way_ < kSinglesAtOnce) {
    std::optional<source::SopUid> sop;
    {
      MutexLock lock(mutex_);
      sop = NextSingle();
      if (sop) {
        phase_ = Phase::kHealing;
        tried_singly_.insert(*sop);
      }
    }
    if (!sop) break;
    FetchSingle(*sop);
  }
  if (singles_under_way_ > 0) return;
  if (!fatal_error_ && !unproven_.empty() && !sizes_listed_) return ListSizes();
  fatal_error_ ? Finish(*fatal_error_) : Conclude();
}

void SeriesDownload::FetchSingle(const source::SopUid& sop) {
  ++singles_under_way_;
  auto sink = std::make_shared<InstanceSink>(shared_from_this(), sop);
  {
    MutexLock lock(mutex_);
    sinks_.push_back(sink);
  }
  source_.FetchInstance(Query(), sop, stop_.get_token(), std::move(sink));
}

void SeriesDownload::AfterSingle(const SinkOutcome& outcome) {
  --singles_under_way_;
  bool arrived = false;
  {
    MutexLock lock(mutex_);
    arrived = published_.contains(*outcome.only);
  }
  // What was here once the archive can deliver, whatever it says now.
  const bool denied = outcome.status ? !arrived : outcome.status.error().code == Errc::kNotFound;
  if (denied && !core_->cache.Known(key(), intake_.plan.version, *outcome.only))
    denied_.insert(*outcome.only);
  if (!outcome.status) {
    single_errors_.insert_or_assign(*outcome.only, outcome.status.error());
    if (outcome.unproven) unproven_.push_back(*outcome.only);
    if (EndsHealing(outcome)) fatal_error_ = outcome.status.error();
  }
  Heal();
}

// Null when the budget is spent or all have been tried.
std::optional<source::SopUid> SeriesDownload::NextSingle() const {
  if (cancelled_ || tried_singly_.size() >= kSinglesMax) return std::nullopt;
  for (const auto& sop : withdrawn_)
    if (!tried_singly_.contains(sop)) return sop;
  for (const auto& sop : waiters_.Wanted())
    if (!tried_singly_.contains(sop)) return sop;
  if (!waiters_.WantSeries() || lacking_.size() > kSinglesMax) return std::nullopt;
  for (const auto& sop : lacking_)
    if (!tried_singly_.contains(sop)) return sop;
  return std::nullopt;
}

// A reader misses what it wants; who wants the series misses what is not verified: also what is
// here already, of an earlier stream whose end did not come.
bool SeriesDownload::SeriesNeedsStream() const {
  if (!waiters_.WantSeries() || verified_) return false;
  if (!delivered_a_stream_) return true;
  const bool all_came = findings_.instances == intake_.plan.version.image_count;
  if (findings_.complete || (all_came && findings_.all_sums)) return false;
  for (const auto& sop : lacking_)
    if (!Hopeless(sop)) return true;
  return lacking_.empty();
}

// Something is missing that no stream is known to lack.
bool SeriesDownload::StreamMayBringMore() const {
  if (waiters_.Contains(source::SopUid())) return true;
  for (const auto& sop : waiters_.Wanted())
    if (!Hopeless(sop)) return true;
  for (const auto& sop : withdrawn_)
    if (!Hopeless(sop)) return true;
  return false;
}

// A whole stream lacked it, here or in an earlier download, and the single image is not to be had
// either.
bool SeriesDownload::Hopeless(const source::SopUid& sop) const {
  if (!tried_singly_.contains(sop)) return false;
  return (began_nearly_complete_ && denied_.contains(sop)) ||
         core_->failures.LeftOut(key(), sop, intake_.plan.version);
}

// What is missing at the end, for those who ask again.
void SeriesDownload::RememberMissing(const std::vector<WaiterPtr>& unserved) {
  core_->failures.Forget(key(), source::SopUid());
  std::unordered_set<source::SopUid> missing;
  std::unordered_set<source::SopUid> left_out;
  {
    MutexLock lock(mutex_);
    missing = withdrawn_;
    if (lacking_.size() <= kMissingToldMax) missing.insert(lacking_.begin(), lacking_.end());
    for (const auto& waiter : unserved) missing.insert(waiter->sop);
    missing.erase(source::SopUid());
    for (const auto& sop : missing)
      if (delivered_a_stream_ || Hopeless(sop)) left_out.insert(sop);
  }
  const auto& version = intake_.plan.version;
  for (const auto& sop : missing) {
    if (left_out.contains(sop))
      core_->failures.RememberLeftOut(key(), sop, version, WhyMissing(sop));
    else
      core_->failures.Remember(key(), sop, version, WhyMissing(sop));
    LogWarning("series {}: instance {}: {}", key().series.text(), sop.text(),
               WhyMissing(sop).message);
  }
}

SeriesOutcome SeriesDownload::Outcome() const {
  SeriesOutcome outcome;
  outcome.verified = verified_;
  outcome.instances = findings_.instances;
  outcome.size_bytes = findings_.size_bytes;
  if (verified_) return outcome;
  std::vector<source::SopUid> missing;
  {
    MutexLock lock(mutex_);
    missing.assign(withdrawn_.begin(), withdrawn_.end());
    for (const auto& sop : lacking_)
      if (!withdrawn_.contains(sop)) missing.push_back(sop);
  }
  std::sort(missing.begin(), missing.end());
  if (missing.size() > kMissingToldMax) missing.resize(kMissingToldMax);
  for (const auto& sop : missing) outcome.missing.push_back({sop, WhyMissing(sop).message});
  outcome.reason = WhyNotVerified(outcome);
  return outcome;
}

// What came, for whom, and by which request, which earlier lines may be about.
void SeriesDownload::LogEnd() const {
  const uint64_t request_id = intake_.request_id;
  std::string_view whom = "readers";
  size_t singles = 0;
  {
    MutexLock lock(mutex_);
    singles = tried_singly_.size();
    if (interest_ == 0) whom = "reading ahead";
    if (asked_as_series_) whom = "fetch";
  }
  if (request_id == 0 && singles == 0) return;  // it was all here
  std::string by = request_id > 0 ? fmt::format("request {}", request_id) : "";
  if (singles > 0)
    by += fmt::format("{}{} single image{}", by.empty() ? "" : " and ", singles,
                      singles == 1 ? "" : "s");
  const int64_t announced = intake_.plan.version.image_count;
  LogInfo("series {}: {}{} instances, {} bytes in {} ms, {}; for {} ({})", key().series.text(),
          findings_.instances, announced >= 0 ? fmt::format(" of {}", announced) : "",
          findings_.size_bytes, core_->clock.MonotonicMs() - *began_ms_,
          verified_ ? "verified" : "not verified", whom, by);
}

std::string SeriesDownload::WhyNotVerified(const SeriesOutcome& outcome) const {
  const auto& announced = intake_.plan.version;
  if (findings_.complete && outcome.instances > 0)
    return "the cache could not keep all of it on its disk";
  std::string why;
  if (outcome.instances == 0) {
    why = "the archive delivered no image of it";
  } else if (announced.image_count >= 0 && outcome.instances != announced.image_count) {
    why = outcome.instances < announced.image_count
              ? fmt::format("{} of {} images are here", outcome.instances, announced.image_count)
              : fmt::format("{} images came, {} were announced", outcome.instances,
                            announced.image_count);
  } else if (announced.total_bytes >= 0 && outcome.size_bytes != announced.total_bytes) {
    why = fmt::format("its images have {} bytes in all, {} were announced", outcome.size_bytes,
                      announced.total_bytes);
  } else {
    why = "not all of it is intact";
  }
  if (!outcome.missing.empty()) return why + ": " + outcome.missing.front().reason;
  return stream_error_ ? why + ": " + stream_error_->message : why;
}

Error SeriesDownload::WhyMissing(const source::SopUid& sop) const {
  constexpr const char* kNotDelivered = "the archive did not deliver this instance";
  if (const auto single = single_errors_.find(sop); single != single_errors_.end())
    return Error{Errc::kUnavailable, fmt::format("{}: {}", kNotDelivered, single->second.message)};
  if (stream_error_) return stream_error_->Within(kNotDelivered);
  return Error{Errc::kUnavailable, kNotDelivered};
}

}  // namespace tciafs::fetch
