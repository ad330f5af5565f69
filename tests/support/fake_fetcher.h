// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A fetcher that asks the test for every instance: `serve` makes it, at once, or, while `hold` is
// set, when `held` is released. Thread-safe if `serve` is.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/held_calls.h"
#include "tciafs/fetch/fetcher.h"

namespace tciafs::testing {

class FakeFetcher final : public fetch::Fetcher {
 public:
  using File = std::shared_ptr<cache::InstanceFile>;

  std::function<Result<File>(const fetch::SeriesTarget&, const source::SopUid&)> serve;
  std::atomic<bool> hold = false;
  HeldCalls held;
  std::atomic<int> acquires = 0;
  std::map<std::pair<cache::SeriesKey, source::SopUid>, std::string> errors;  // set before use

  void Acquire(const fetch::SeriesTarget& target, const source::SopUid& sop, std::stop_token stop,
               Callback<File> done) override {
    ++acquires;
    if (!hold) return done(serve(target, sop));
    held.Add(stop, [this, target, sop, done = std::move(done)](bool cancelled) {
      cancelled ? done(Fail(Errc::kCancelled, "stopped")) : done(serve(target, sop));
    });
  }
  // Asked for on any thread; the answer may come later, through `done`.
  std::function<void(const fetch::SeriesTarget&, std::stop_token,
                     Callback<fetch::SeriesOutcome> done)>
      serve_series;
  void AcquireSeries(const fetch::SeriesTarget& target, std::stop_token stop,
                     Callback<fetch::SeriesOutcome> done) override {
    serve_series(target, std::move(stop), std::move(done));
  }
  std::vector<fetch::SeriesTarget> ahead;  // asked for; by one thread
  Ahead ahead_answer = Ahead::kBegun;
  Ahead FetchAhead(const fetch::SeriesTarget& target) override {
    ahead.push_back(target);
    return ahead_answer;
  }
  std::string LastError(const cache::SeriesKey& key, const source::SopUid& sop) const override {
    const auto found = errors.find({key, sop});
    return found != errors.end() ? found->second : "";
  }
  std::vector<fetch::DownloadStatus> downloads;  // set before use
  std::vector<fetch::DownloadStatus> Downloads() const override { return downloads; }
  void Shutdown() override {}
};

}  // namespace tciafs::testing
