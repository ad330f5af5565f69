// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "control/fetch_job.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "tciafs/util/clock.h"
#include "tciafs/util/mutex.h"

namespace tciafs::control {
namespace {

constexpr int64_t kProgressMs = 200;

// Where the next series of the same server would meet the same.
bool EndsAsking(Errc code) { return IsRefusedUnasked(code) || code == Errc::kUnauthenticated; }

}  // namespace

struct FetchJob::Inbox {
  Mutex mutex;
  CondVar arrived;
  std::vector<Arrival> arrivals TCIAFS_GUARDED_BY(mutex);

  void Put(size_t index, Underway what) {
    MutexLock lock(mutex);
    arrivals.push_back({index, std::move(what)});
    arrived.NotifyAll();
  }
  std::vector<Arrival> Take() {
    MutexLock lock(mutex);
    if (arrivals.empty()) arrived.WaitFor(mutex, std::chrono::milliseconds(kProgressMs));
    return std::exchange(arrivals, {});
  }
};

FetchJob::FetchJob(const Mounted& mounted, const std::vector<PlannedSeries>& series,
                   int at_once_max, Answers& answers)
    : mounted_(mounted),
      series_(series),
      at_once_max_(static_cast<size_t>(std::max(at_once_max, 1))),
      answers_(answers),
      inbox_(std::make_shared<Inbox>()) {
  // What is here comes first: asking for it counts as a use, and so the rest does not push it out.
  for (const bool here : {true, false})
    for (size_t index = 0; index < series_.size(); ++index)
      if (series_[index].here == here) queue_.push_back(index);
}

Status FetchJob::Run() {
  const std::stop_callback stopped(answers_.stop(), [this] { stop_.request_stop(); });
  const Status outcome = RunToTheEnd();
  stop_.request_stop();  // whoever is still waited for; their answers go to the inbox alone
  return outcome;
}

Status FetchJob::RunToTheEnd() {
  const SystemClock clock;
  int64_t told_ms = clock.MonotonicMs();
  for (StartMore(); !active_.empty(); StartMore()) {
    for (Arrival& arrival : inbox_->Take()) TCIAFS_TRY(TakeIn(std::move(arrival)));
    if (stop_.stop_requested()) return Fail(Errc::kCancelled, "interrupted");
    if (clock.MonotonicMs() - told_ms < kProgressMs) continue;
    TCIAFS_TRY(TellProgress());
    told_ms = clock.MonotonicMs();
  }
  TCIAFS_TRY(CheckStillHere());
  return TellSummary();
}

void FetchJob::StartMore() {
  while (active_.size() < at_once_max_ && !queue_.empty()) {
    const size_t index = queue_.front();
    queue_.pop_front();
    if (silent_servers_.contains(series_[index].path.server)) {
      ++left_;
    } else {
      Start(index);
    }
  }
}

void FetchJob::Start(size_t index) {
  active_[index] = {};
  const catalog::ObjectPath& path = series_[index].path;
  auto record = mounted_.catalog.Series(path);
  if (!record) return inbox_->Put(index, {Fail(record.error()), Status()});
  versions_[index] = record->version;
  mounted_.catalog.List(path, stop_.get_token(),
                        [inbox = inbox_, index](const Result<catalog::ListAnswer>& listed) {
                          inbox->Put(index, {{}, listed ? Status() : Fail(listed.error())});
                        });
  mounted_.fetcher.AcquireSeries({path.server, *std::move(record)}, stop_.get_token(),
                                 [inbox = inbox_, index](Result<fetch::SeriesOutcome> outcome) {
                                   inbox->Put(index, {std::move(outcome), {}});
                                 });
}

Status FetchJob::TakeIn(Arrival arrival) {
  const size_t index = arrival.index;
  Underway& underway = active_[index];
  if (arrival.what.outcome) underway.outcome = std::move(arrival.what.outcome);
  if (arrival.what.listed) underway.listed = std::move(arrival.what.listed);
  if (!underway.outcome || !underway.listed) return {};
  Result<fetch::SeriesOutcome> outcome = *std::move(underway.outcome);
  if (outcome && !*underway.listed)
    outcome = Fail(underway.listed->error().Within("its images could not be listed"));
  active_.erase(index);
  return End(index, std::move(outcome));
}

Status FetchJob::End(size_t index, Result<fetch::SeriesOutcome> outcome) {
  if (!outcome) {
    const Error& error = outcome.error();
    if (error.code == Errc::kCancelled) return Fail(error);  // by the end of the mount, or ours
    if (error.code == Errc::kStale && renewed_.insert(index).second) {
      Start(index);
      return {};
    }
    if (EndsAsking(error.code)) silent_servers_.insert(series_[index].path.server);
  }
  if (!series_[index].here) {
    const int64_t announced_bytes = series_[index].plan.version.total_bytes;
    ++ended_;
    if (announced_bytes >= 0 || outcome)
      ended_bytes_ += announced_bytes >= 0 ? announced_bytes : outcome->size_bytes;
  }
  return outcome ? TellOutcome(index, *outcome) : TellFailed(index, outcome.error());
}

Status FetchJob::TellOutcome(size_t index, const fetch::SeriesOutcome& outcome) {
  if (outcome.verified) {
    verified_.insert(index);
    if (series_[index].here) return {};
  } else {
    ++unverified_;
  }
  const std::string path = series_[index].path.Text();
  Message message("series");
  message.Add("path", path).Add("state", outcome.verified ? "verified" : "unverified");
  message.Add("images", outcome.instances).Add("bytes", outcome.size_bytes);
  if (!outcome.verified) message.Add("reason", outcome.reason);
  TCIAFS_TRY(answers_.Send(message));
  for (const auto& missing : outcome.missing) {
    const auto instance = series_[index].path.Child(missing.sop.text(), series_[index].path.server);
    TCIAFS_TRY(answers_.Send(
        Message("missing").Add("path", instance.Text()).Add("reason", missing.reason)));
  }
  return {};
}

Status FetchJob::TellFailed(size_t index, const Error& error) {
  ++failed_;
  return answers_.Send(Message("series")
                           .Add("path", series_[index].path.Text())
                           .Add("state", "failed")
                           .Add("code", ErrcName(error.code))
                           .Add("reason", error.message));
}

Status FetchJob::TellProgress() {
  std::unordered_map<source::SeriesUid, fetch::DownloadStatus> downloads;
  for (auto& download : mounted_.fetcher.Downloads())
    downloads.insert_or_assign(download.record.series, std::move(download));
  for (const auto& [index, underway] : active_) {
    const auto found = downloads.find(series_[index].path.series);
    if (found == downloads.end()) continue;
    const fetch::DownloadStatus& download = found->second;
    TCIAFS_TRY(answers_.Send(Message("active")
                                 .Add("path", series_[index].path.Text())
                                 .Add("received_bytes", download.bytes_received)
                                 .Add("expected_bytes", download.bytes_expected)
                                 .Add("started", download.started ? 1 : 0)));
  }
  return answers_.Send(Message("progress").Add("ended", ended_).Add("ended_bytes", ended_bytes_));
}

// A cache that others fill meanwhile may have had to let go of what came first.
Status FetchJob::CheckStillHere() {
  const std::set<size_t> came = std::exchange(verified_, {});
  for (const size_t index : came) {
    if (mounted_.cache.Verified(series_[index].plan.key, versions_[index])) {
      verified_.insert(index);
    } else {
      TCIAFS_TRY(TellFailed(
          index, {Errc::kNoSpace, "it came, and had to make room for others before the end"}));
    }
  }
  return {};
}

Status FetchJob::TellSummary() {
  int64_t here = 0;
  for (const size_t index : verified_) here += series_[index].here ? 1 : 0;
  return answers_.Send(Message("summary")
                           .Add("series", static_cast<int64_t>(series_.size()))
                           .Add("verified", static_cast<int64_t>(verified_.size()))
                           .Add("here", here)
                           .Add("unverified", unverified_)
                           .Add("failed", failed_)
                           .Add("left", left_));
}

}  // namespace tciafs::control
