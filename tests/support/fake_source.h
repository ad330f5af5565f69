// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// An archive in memory for the tests of what lies above the source seam: counts calls per kind,
// answers at once, or when told, fails, or answers empty. Thread-safe. Streams are not scripted
// here: they are refused.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/source/source.h"
#include "tciafs/util/mutex.h"

namespace tciafs::testing {

class FakeSource final : public source::Source {
 public:
  struct Calls {
    int collections = 0;
    int patients = 0;
    int patient_series = 0;
    int bulk = 0;
    int instances = 0;
    // As requests on the wire: an instance listing takes two.
    int Requests() const { return collections + patients + patient_series + bulk + 2 * instances; }
  };

  explicit FakeSource(std::string name = "fake.example", std::string scope = "https://fake|guest")
      : name_(std::move(name)), scope_(std::move(scope)) {
    capabilities_.bulk_listing = true;
    capabilities_.sizes_known = true;
  }

  // --- what the archive has
  void AddCollection(const std::string& collection) {
    MutexLock lock(mutex_);
    collections_.push_back({source::CollectionId(collection)});
  }
  void AddPatient(source::PatientRecord record) {
    MutexLock lock(mutex_);
    patients_.push_back(std::move(record));
  }
  void AddSeries(source::SeriesRecord record, std::vector<source::InstanceRecord> instances = {}) {
    MutexLock lock(mutex_);
    instances_[record.series.text()] = std::move(instances);
    series_.push_back(std::move(record));
  }
  // Edits everything at once.
  void Edit(const std::function<
            void(std::vector<source::CollectionRecord>&, std::vector<source::PatientRecord>&,
                 std::vector<source::SeriesRecord>&,
                 std::map<std::string, std::vector<source::InstanceRecord>>&)>& edit) {
    MutexLock lock(mutex_);
    edit(collections_, patients_, series_, instances_);
  }

  // --- how it behaves
  void FailWith(Errc code, std::string message = "the archive is down") {
    MutexLock lock(mutex_);
    failure_ = Error{code, std::move(message)};
    failing_ = true;
  }
  void AnswerEmpty(bool empty = true) {
    MutexLock lock(mutex_);
    empty_ = empty;
  }
  void Recover() {
    MutexLock lock(mutex_);
    failing_ = false;
    empty_ = false;
  }
  void SetRecoveredAt(int64_t monotonic_ms) { recovered_at_ms_ = monotonic_ms; }
  void HoldAnswers(bool hold = true) {
    MutexLock lock(mutex_);
    holding_ = hold;
  }
  void set_capabilities(source::Capabilities capabilities) {
    MutexLock lock(mutex_);
    capabilities_ = capabilities;
  }
  // Bulk: records per batch, and after how many batches the connection breaks (-1: never).
  void SetBulk(size_t batch_records, int breaks_after_batches = -1) {
    MutexLock lock(mutex_);
    batch_records_ = batch_records;
    breaks_after_batches_ = breaks_after_batches;
  }
  // Answers filters as a case-insensitive or careless server would: with every row it has.
  void IgnoreFilters(bool ignore = true) {
    MutexLock lock(mutex_);
    ignore_filters_ = ignore;
  }

  // Gives the answers held so far, `count` of them from `index` on.
  void Release(size_t index = 0, size_t count = SIZE_MAX) {
    std::vector<std::function<void()>> answers;
    {
      MutexLock lock(mutex_);
      const size_t first = std::min(index, held_.size());
      const size_t last =
          std::min(held_.size(), count > held_.size() ? held_.size() : first + count);
      const auto from = held_.begin() + static_cast<std::ptrdiff_t>(first);
      const auto to = held_.begin() + static_cast<std::ptrdiff_t>(last);
      answers.assign(std::make_move_iterator(from), std::make_move_iterator(to));
      held_.erase(from, to);
    }
    for (const auto& answer : answers) answer();
  }
  size_t held() const {
    MutexLock lock(mutex_);
    return held_.size();
  }
  Calls calls() const {
    MutexLock lock(mutex_);
    return calls_;
  }
  std::vector<source::SeriesQuery> last_instances_query() const {
    MutexLock lock(mutex_);
    return last_instances_query_;
  }

  // --- source::Source
  const std::string& scope() const override { return scope_; }
  const std::string& name() const override { return name_; }
  int64_t recovered_at_ms() const override { return recovered_at_ms_; }
  source::Capabilities capabilities() const override {
    MutexLock lock(mutex_);
    return capabilities_;
  }

  void ListCollections(std::stop_token stop,
                       Callback<std::vector<source::CollectionRecord>> done) override {
    Count(&Calls::collections);
    Answer<std::vector<source::CollectionRecord>>(std::move(stop), std::move(done), [this] {
      MutexLock lock(mutex_);
      return collections_;
    });
  }
  void ListPatients(const source::CollectionId& collection, std::stop_token stop,
                    Callback<std::vector<source::PatientRecord>> done) override {
    Count(&Calls::patients);
    Answer<std::vector<source::PatientRecord>>(
        std::move(stop), std::move(done), [this, collection] {
          MutexLock lock(mutex_);
          std::vector<source::PatientRecord> answer;
          for (const auto& patient : patients_)
            if (ignore_filters_ || patient.collection == collection) answer.push_back(patient);
          return answer;
        });
  }
  void ListPatientSeries(const source::CollectionId& collection, const source::PatientId& patient,
                         std::stop_token stop,
                         Callback<std::vector<source::SeriesRecord>> done) override {
    Count(&Calls::patient_series);
    Answer<std::vector<source::SeriesRecord>>(
        std::move(stop), std::move(done), [this, collection, patient] {
          MutexLock lock(mutex_);
          std::vector<source::SeriesRecord> answer;
          for (const auto& series : series_)
            if (ignore_filters_ || (series.collection == collection && series.patient == patient))
              answer.push_back(series);
          return answer;
        });
  }
  void ListCollectionSeries(const source::CollectionId& collection, std::stop_token stop,
                            source::SeriesBatch batch, Callback<void> done) override {
    Count(&Calls::bulk);
    auto answer = [this, collection, stop, batch = std::move(batch), done = std::move(done)] {
      std::vector<source::SeriesRecord> all;
      size_t batch_records = 0;
      int breaks_after = 0;
      Error failure;
      {
        MutexLock lock(mutex_);
        batch_records = std::max<size_t>(batch_records_, 1);
        breaks_after = failing_ ? 0 : breaks_after_batches_;
        failure = failing_ ? failure_ : Error{Errc::kUnavailable, "the connection broke"};
        if (!empty_)
          for (const auto& series : series_)
            if (ignore_filters_ || series.collection == collection) all.push_back(series);
      }
      int batches = 0;
      for (size_t at = 0; at < all.size(); at += batch_records, ++batches) {
        if (stop.stop_requested()) return done(Fail(Errc::kCancelled, "stopped"));
        if (batches == breaks_after) return done(Fail(failure));
        const size_t end = std::min(at + batch_records, all.size());
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(at);
        const auto last = all.begin() + static_cast<std::ptrdiff_t>(end);
        if (auto status = batch({first, last}); !status) return done(status);
      }
      if (breaks_after == 0) return done(Fail(failure));
      done({});
    };
    HoldOrRun(std::move(answer));
  }
  void ListInstances(std::vector<source::SeriesQuery> series, std::stop_token stop,
                     Callback<std::vector<source::InstanceListing>> done) override {
    Count(&Calls::instances);
    {
      MutexLock lock(mutex_);
      last_instances_query_ = series;
    }
    Answer<std::vector<source::InstanceListing>>(
        std::move(stop), std::move(done), [this, series = std::move(series)] {
          MutexLock lock(mutex_);
          std::vector<source::InstanceListing> answer;
          for (const auto& query : series) {
            const auto found = instances_.find(query.series.text());
            if (found != instances_.end() && !found->second.empty())
              answer.push_back({query.series, found->second});
          }
          return answer;
        });
  }
  void StreamSeries(const source::SeriesQuery&, std::stop_token,
                    std::shared_ptr<source::SeriesSink> sink) override {
    sink->Done(Fail(Errc::kUnsupported, "not scripted"));
  }
  void FetchInstance(const source::SeriesQuery&, const source::SopUid&, std::stop_token,
                     std::shared_ptr<source::SeriesSink> sink) override {
    sink->Done(Fail(Errc::kUnsupported, "not scripted"));
  }

 private:
  void Count(int Calls::*kind) {
    MutexLock lock(mutex_);
    ++(calls_.*kind);
  }
  // The answer is made when it is given, from what the archive has then.
  template <typename T>
  void Answer(std::stop_token stop, Callback<T> done, std::function<T()> content) {
    HoldOrRun([this, stop = std::move(stop), done = std::move(done), content = std::move(content)] {
      if (stop.stop_requested()) return done(Fail(Errc::kCancelled, "stopped"));
      if (const auto failure = Failure()) return done(Fail(*failure));
      const bool empty = [this] {
        MutexLock lock(mutex_);
        return empty_;
      }();
      done(empty ? T() : content());
    });
  }
  std::optional<Error> Failure() const {
    MutexLock lock(mutex_);
    return failing_ ? std::optional(failure_) : std::nullopt;
  }
  void HoldOrRun(std::function<void()> answer) {
    {
      MutexLock lock(mutex_);
      if (holding_) {
        held_.push_back(std::move(answer));
        return;
      }
    }
    answer();
  }

  const std::string name_;
  const std::string scope_;
  std::atomic<int64_t> recovered_at_ms_ = std::numeric_limits<int64_t>::min();
  mutable Mutex mutex_;
  source::Capabilities capabilities_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<source::CollectionRecord> collections_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<source::PatientRecord> patients_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<source::SeriesRecord> series_ TCIAFS_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<source::InstanceRecord>> instances_ TCIAFS_GUARDED_BY(mutex_);
  Calls calls_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<source::SeriesQuery> last_instances_query_ TCIAFS_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> held_ TCIAFS_GUARDED_BY(mutex_);
  Error failure_ TCIAFS_GUARDED_BY(mutex_);
  bool failing_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool empty_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool holding_ TCIAFS_GUARDED_BY(mutex_) = false;
  bool ignore_filters_ TCIAFS_GUARDED_BY(mutex_) = false;
  size_t batch_records_ TCIAFS_GUARDED_BY(mutex_) = 500;
  int breaks_after_batches_ TCIAFS_GUARDED_BY(mutex_) = -1;
};

}  // namespace tciafs::testing
