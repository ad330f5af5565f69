// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A fetcher over two scripted sources and a cache in memory, with time and threads in the test's
// hand, and readers whose answers are kept.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "support/fake_block_cache.h"
#include "support/fakes.h"
#include "tciafs/fetch/series_fetcher.h"
#include "unit/fetch/scripted_source.h"

namespace tciafs::testing {

// Tells a cap, which the cache in memory has none of. Not enforced.
class CappedCache final : public cache::BlockCache {
 public:
  explicit CappedCache(FakeBlockCache& cache) : cache_(cache) {}
  void set_cap_bytes(int64_t cap_bytes) { cap_bytes_ = cap_bytes; }

  Result<std::shared_ptr<cache::InstanceFile>> Open(const cache::SeriesKey& key,
                                                    const source::SeriesVersion& version,
                                                    const source::SopUid& sop) override {
    return cache_.Open(key, version, sop);
  }
  std::vector<cache::KnownInstance> Known(const cache::SeriesKey& key,
                                          const source::SeriesVersion& version) const override {
    return cache_.Known(key, version);
  }
  std::optional<cache::KnownInstance> Known(const cache::SeriesKey& key,
                                            const source::SeriesVersion& version,
                                            const source::SopUid& sop) const override {
    return cache_.Known(key, version, sop);
  }
  Result<std::unique_ptr<cache::SeriesWriter>> BeginSeries(const cache::SeriesPlan& plan) override {
    return cache_.BeginSeries(plan);
  }
  bool Verified(const cache::SeriesKey& key, const source::SeriesVersion& version) const override {
    return cache_.Verified(key, version);
  }
  Status Pin(const cache::SeriesKey& key, bool pinned) override { return cache_.Pin(key, pinned); }
  Status Pin(const std::vector<cache::SeriesPlan>& plans, bool pinned) override {
    return cache_.Pin(plans, pinned);
  }
  bool Pinned(const cache::SeriesKey& key) const override { return cache_.Pinned(key); }
  cache::RoomFor CheckRoom(const std::vector<cache::SeriesPlan>& wanted) const override {
    return cache_.CheckRoom(wanted);
  }
  Status Evict(const cache::SeriesKey& key) override { return cache_.Evict(key); }
  std::vector<cache::CachedSeries> Cached() const override { return cache_.Cached(); }
  Status CheckIntact(const cache::SeriesKey& key, const source::SopUid& sop,
                     const std::stop_token& stop) override {
    return cache_.CheckIntact(key, sop, stop);
  }
  cache::Usage usage() const override {
    cache::Usage usage = cache_.usage();
    usage.cap_bytes = usage.disk_free_bytes = cap_bytes_;
    return usage;
  }

 private:
  FakeBlockCache& cache_;
  int64_t cap_bytes_ = 0;
};

struct Answer {
  int calls = 0;
  Result<std::shared_ptr<cache::InstanceFile>> result;
  std::stop_source stop;
  bool ok() const { return calls == 1 && result.has_value(); }
  bool failed(Errc code) const {
    return calls == 1 && !result.has_value() && result.error().code == code;
  }
};
using AnswerPtr = std::shared_ptr<Answer>;

class FetcherFixture : public ::testing::Test {
 protected:
  // What a stream brings has its effects at once.
  FetcherFixture() { options_.queue_bytes_max = 0; }
  void SetUp() override { Make(); }
  void TearDown() override {
    fetcher_.reset();
    EXPECT_EQ(cache_.breaches(), 0);
    EXPECT_EQ(cache_.open_writers(), 0);
  }
  void Make() {
    fetcher_ = fetch::CreateSeriesFetcher(options_, {&source_, &other_}, capped_, clock_, executor_,
                                          scheduler_);
  }

  static fetch::SeriesTarget Target(int64_t images = -1, int64_t bytes = -1,
                                    std::string uid = "1.2.3") {
    fetch::SeriesTarget target;
    target.record.series = source::SeriesUid(std::move(uid));
    target.record.version = {"2020-01-01", images, bytes};
    return target;
  }
  static cache::SeriesKey Key(const fetch::SeriesTarget& target) {
    return {target.server == 0 ? "main" : "other", target.record.series};
  }
  AnswerPtr Read(const fetch::SeriesTarget& target, const std::string& sop) {
    auto answer = std::make_shared<Answer>();
    fetcher_->Acquire(target, source::SopUid(sop), answer->stop.get_token(), [answer](auto result) {
      ++answer->calls;
      answer->result = std::move(result);
    });
    executor_.RunAll();
    return answer;
  }
  void Pass(int64_t ms) {
    scheduler_.Advance(ms);
    executor_.RunAll();
  }
  void End(const ScriptedCall& call) {
    call.Done();
    executor_.RunAll();
  }
  void Break(const ScriptedCall& call, Errc code, const std::string& message = "broken") {
    call.Fail(code, message);
    executor_.RunAll();
  }

  FakeClock clock_;
  ManualExecutor executor_;
  ManualScheduler scheduler_{clock_};
  FakeBlockCache cache_;
  CappedCache capped_{cache_};  // what the fetcher sees
  ScriptedSource source_{"main"};
  ScriptedSource other_{"other"};
  fetch::FetchOptions options_;
  std::unique_ptr<fetch::Fetcher> fetcher_;
};

}  // namespace tciafs::testing
