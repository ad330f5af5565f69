// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A source whose streams the test plays by hand, event by event, or by a script that runs in the
// call. Lists what the test says of instances, and nothing else. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/source/source.h"
#include "tciafs/util/hash.h"
#include "tciafs/util/mutex.h"

namespace tciafs::testing {

inline std::string Md5Of(const std::string& bytes) {
  Md5 md5;
  md5.Update(AsBytes(bytes));
  return md5.FinishHex();
}

struct ScriptedCall {
  source::SeriesQuery query;
  std::optional<source::SopUid> single;
  std::stop_token stop;
  std::shared_ptr<source::SeriesSink> sink;

  Status Begin(const std::string& sop) const { return sink->BeginInstance(source::SopUid(sop)); }
  // A single image with its sum.
  Status Send(const std::string& sop, const std::string& bytes) const {
    if (single) Expect(sop, Md5Of(bytes));
    return SendWithoutSum(sop, bytes);
  }
  Status SendWithoutSum(const std::string& sop, const std::string& bytes) const {
    TCIAFS_TRY(Begin(sop));
    const size_t half = bytes.size() / 2;
    TCIAFS_TRY(sink->Data(AsBytes(bytes).first(half)));
    TCIAFS_TRY(sink->Data(AsBytes(bytes).subspan(half)));
    return sink->EndInstance();
  }
  void Expect(const std::string& sop, const std::string& md5_hex) const {
    sink->ExpectMd5(source::SopUid(sop), md5_hex);
  }
  void Done() const { sink->Done({}); }
  void Fail(Errc code, const std::string& message) const {
    sink->Done(tciafs::Fail(code, message));
  }
};

class ScriptedSource final : public source::Source {
 public:
  using Script = std::function<void(ScriptedCall)>;

  explicit ScriptedSource(std::string scope) : scope_(std::move(scope)) {}
  // Before the first call. Without a script calls are kept for the test to play.
  void set_script(Script script) { script_ = std::move(script); }
  // What the series that is asked for holds; until then it cannot be listed.
  void set_instances(std::vector<std::string> sops) {
    MutexLock lock(mutex_);
    instances_ = std::move(sops);
  }
  // The listed size of each.
  void set_sizes(std::map<std::string, int64_t> sizes_bytes) {
    MutexLock lock(mutex_);
    sizes_bytes_ = std::move(sizes_bytes);
  }
  int listings() const {
    MutexLock lock(mutex_);
    return listings_;
  }

  size_t streams() const {
    MutexLock lock(mutex_);
    return streams_.size();
  }
  size_t singles() const {
    MutexLock lock(mutex_);
    return singles_.size();
  }
  const ScriptedCall& stream(size_t i) const {
    MutexLock lock(mutex_);
    return streams_.at(i);
  }
  const ScriptedCall& single(size_t i) const {
    MutexLock lock(mutex_);
    return singles_.at(i);
  }

  void set_refusal(std::optional<Error> refusal) { refusal_ = std::move(refusal); }

  const std::string& scope() const override { return scope_; }
  std::optional<Error> Refuses() override { return refusal_; }
  const std::string& name() const override { return scope_; }
  source::Capabilities capabilities() const override { return {}; }
  void ListCollections(std::stop_token,
                       Callback<std::vector<source::CollectionRecord>> done) override {
    done(Fail(Errc::kUnsupported, ""));
  }
  void ListPatients(const source::CollectionId&, std::stop_token,
                    Callback<std::vector<source::PatientRecord>> done) override {
    done(Fail(Errc::kUnsupported, ""));
  }
  void ListPatientSeries(const source::CollectionId&, const source::PatientId&, std::stop_token,
                         Callback<std::vector<source::SeriesRecord>> done) override {
    done(Fail(Errc::kUnsupported, ""));
  }
  void ListCollectionSeries(const source::CollectionId&, std::stop_token, source::SeriesBatch,
                            Callback<void> done) override {
    done(Fail(Errc::kUnsupported, ""));
  }
  void ListInstances(std::vector<source::SeriesQuery> series, std::stop_token,
                     Callback<std::vector<source::InstanceListing>> done) override {
    std::optional<source::InstanceListing> listing;
    {
      MutexLock lock(mutex_);
      ++listings_;
      if (instances_) {
        listing.emplace();
        for (const auto& sop : *instances_) {
          const auto size = sizes_bytes_.find(sop);
          listing->instances.push_back(
              {source::SopUid(sop), size != sizes_bytes_.end() ? size->second : -1});
        }
      }
    }
    if (!listing) return done(Fail(Errc::kUnsupported, ""));
    listing->series = series.at(0).series;
    done(std::vector{*listing});
  }
  void StreamSeries(const source::SeriesQuery& series, std::stop_token stop,
                    std::shared_ptr<source::SeriesSink> sink) override {
    Play(streams_, {series, std::nullopt, std::move(stop), std::move(sink)});
  }
  void FetchInstance(const source::SeriesQuery& series, const source::SopUid& sop,
                     std::stop_token stop, std::shared_ptr<source::SeriesSink> sink) override {
    Play(singles_, {series, sop, std::move(stop), std::move(sink)});
  }

 private:
  void Play(std::deque<ScriptedCall>& calls, ScriptedCall call) {
    {
      MutexLock lock(mutex_);
      calls.push_back(call);
      if (script_) calls.back().sink = nullptr;
    }
    if (script_) script_(std::move(call));
  }

  const std::string scope_;
  Script script_;
  mutable Mutex mutex_;
  std::deque<ScriptedCall> streams_;
  std::deque<ScriptedCall> singles_;
  std::optional<std::vector<std::string>> instances_;
  std::map<std::string, int64_t> sizes_bytes_;
  int listings_ = 0;
  std::optional<Error> refusal_;
};

}  // namespace tciafs::testing
