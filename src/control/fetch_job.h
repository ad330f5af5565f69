// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Brings planned series here, verified, and the names of their instances, so that programs can use
// them without the network; a few at a time. Tells how it goes:
//
//   active path= received_bytes= expected_bytes= started=       each series under way, then
//   progress ended= ended_bytes=                                how many have ended that were not
//                                                               here, and what they had
//   series path= state=verified|unverified images= bytes= [reason=]         one that ended
//   series path= state=failed code= reason=
//   missing path= reason=           each instance known to be missing of an unverified one
//   summary series= verified= here= unverified= failed= left=   the last
//
// `here` were verified before; of these no more is told. Of a server that turns out not to answer
// no more is asked: what was not asked for is `left`. Blocks until all is done, or nobody listens.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <vector>

#include "control/series_plan.h"
#include "tciafs/control/channel.h"
#include "tciafs/fetch/fetcher.h"

namespace tciafs::control {

class FetchJob {
 public:
  // All are borrowed. `at_once_max` series are asked for at once.
  FetchJob(const Mounted& mounted, const std::vector<PlannedSeries>& series, int at_once_max,
           Answers& answers);

  // kCancelled: stopped before the end; what arrived stays.
  Status Run();

 private:
  struct Underway {
    std::optional<Result<fetch::SeriesOutcome>> outcome;
    std::optional<Status> listed;
  };
  // One of the two.
  struct Arrival {
    size_t index = 0;
    Underway what;
  };
  struct Inbox;  // where answers arrive, shared with those still to come

  Status RunToTheEnd();
  void StartMore();
  void Start(size_t index);
  Status TakeIn(Arrival arrival);
  Status End(size_t index, Result<fetch::SeriesOutcome> outcome);
  Status TellOutcome(size_t index, const fetch::SeriesOutcome& outcome);
  Status TellFailed(size_t index, const Error& error);
  Status TellProgress();
  Status CheckStillHere();
  Status TellSummary();

  const Mounted& mounted_;
  const std::vector<PlannedSeries>& series_;  // below called by their index
  const size_t at_once_max_;
  Answers& answers_;
  std::stop_source stop_;
  const std::shared_ptr<Inbox> inbox_;
  std::deque<size_t> queue_;
  std::map<size_t, Underway> active_;
  std::set<size_t> renewed_;  // asked for once more, in a newer version
  std::set<size_t> verified_;
  std::map<size_t, source::SeriesVersion> versions_;  // as they were asked for
  std::set<size_t> silent_servers_;
  int64_t unverified_ = 0;
  int64_t failed_ = 0;
  int64_t left_ = 0;
  int64_t ended_ = 0;
  int64_t ended_bytes_ = 0;
};

}  // namespace tciafs::control
