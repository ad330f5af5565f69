// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The archive of the file system's model: what it holds and has ever held, and two servers that
// answer from it, at once or when told, whole, empty, short or not at all. The bytes of an instance
// follow from its series, version and number. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tciafs/catalog/catalog.h"
#include "tciafs/source/source.h"
#include "tciafs/util/executor.h"

namespace tciafs::model {

inline constexpr int kSlots = 12;  // series
inline constexpr int kServers = 2;
inline constexpr int kVersionsMax = 4;

struct Slot {
  bool present = true;
  int version = 0;
  std::set<int> versions = {0};  // it ever had
  int number = 0;

  size_t server() const { return number >= 8 ? 1 : 0; }
  source::CollectionId collection() const;
  source::PatientId patient() const;
  source::StudyUid study() const;
  source::SeriesUid series() const;
  catalog::ObjectPath path() const;
  int instances(int of_version) const { return 2 + (number + of_version) % 3; }
  source::SopUid sop(int instance) const;
  const std::string& Bytes(int of_version, int instance) const;
  source::SeriesRecord Record() const;
};

enum class Mood { kWell, kFails, kEmpty, kShort, kBreaks, kCorrupts, kLeavesOut };
inline constexpr int kMoods = 7;

class Archive {
 public:
  Archive();
  Slot& slot(int number) { return slots_[static_cast<size_t>(number)]; }
  const Slot& slot(int number) const { return slots_[static_cast<size_t>(number)]; }
  // The names of a directory as the archive has it now.
  std::set<std::string> Names(const catalog::ObjectPath& directory) const;
  // All it ever had there.
  const std::set<std::string>& NamesEver(const catalog::ObjectPath& directory) const;
  // To be called after every change.
  void NoteNames();
  // The slot and the instance's number a path names; -1 if it never was.
  std::pair<int, int> Find(const catalog::ObjectPath& instance) const;

 private:
  std::vector<Slot> slots_;
  std::map<std::string, std::set<std::string>> ever_;  // by the path's text
};

class ModelSource final : public source::Source {
 public:
  ModelSource(size_t server, const Archive& archive, Executor& executor);

  Mood mood = Mood::kWell;
  bool holding = false;
  bool sizes_drift = false;  // the second instance is announced a few bytes longer than it is
  // An answer of this collection, or of all of them (""), that may lack what was listed before.
  std::function<void(const source::CollectionId&)> on_bad_answer = [](const auto&) {};
  int streams = 0;  // begun

  size_t held() const { return held_.size(); }
  void Release(size_t index);  // one of the answers held
  void ReleaseAll();
  void ReleaseStopped();  // whose callers have gone: these are answered soon, whatever happens

  const std::string& scope() const override { return scope_; }
  const std::string& name() const override { return scope_; }
  source::Capabilities capabilities() const override;
  void ListCollections(std::stop_token stop,
                       Callback<std::vector<source::CollectionRecord>> done) override;
  void ListPatients(const source::CollectionId& collection, std::stop_token stop,
                    Callback<std::vector<source::PatientRecord>> done) override;
  void ListPatientSeries(const source::CollectionId& collection, const source::PatientId& patient,
                         std::stop_token stop,
                         Callback<std::vector<source::SeriesRecord>> done) override;
  void ListCollectionSeries(const source::CollectionId& collection, std::stop_token stop,
                            source::SeriesBatch batch, Callback<void> done) override;
  void ListInstances(std::vector<source::SeriesQuery> series, std::stop_token stop,
                     Callback<std::vector<source::InstanceListing>> done) override;
  void StreamSeries(const source::SeriesQuery& series, std::stop_token stop,
                    std::shared_ptr<source::SeriesSink> sink) override;
  void FetchInstance(const source::SeriesQuery& series, const source::SopUid& sop,
                     std::stop_token stop, std::shared_ptr<source::SeriesSink> sink) override;

 private:
  struct Held {
    std::stop_token stop;
    Task answer;
  };
  struct Stream;

  void Answer(std::stop_token stop, Task answer);
  template <typename T>
  void AnswerRows(std::set<source::CollectionId> collections, std::stop_token stop,
                  Callback<std::vector<T>> done, std::function<std::vector<T>()> rows);
  bool Lacks(const source::CollectionId& collection) const;  // something it had once
  std::vector<const Slot*> Slots(const source::CollectionId& collection) const;
  void Send(const std::shared_ptr<Stream>& stream);

  const size_t server_;
  const std::string scope_;
  const Archive& archive_;
  Executor& executor_;
  std::vector<Held> held_;
};

}  // namespace tciafs::model
