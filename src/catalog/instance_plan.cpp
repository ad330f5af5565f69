// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "catalog/instance_plan.h"

#include <algorithm>
#include <set>
#include <string>

#include "tciafs/catalog/names.h"

namespace tciafs::catalog {
namespace {

constexpr size_t kPatientsPerRead = 1'000;

class Plan {
 public:
  Plan(const DirectoryStore& store, const DirectoryKey& root, const ObjectPath& wanted,
       const std::function<bool(const DirectoryKey&)>& wants, const PlanLimits& limits)
      : store_(store),
        wanted_(wanted),
        wants_(wants),
        limits_(limits),
        collection_(wanted.At(Level::kCollection)),
        series_{wanted} {
    collection_key_ = KeyOf(root, collection_);
    const ObjectPath study = ParentOf(wanted);
    source::Attributes attributes;
    if (const auto head = store.ReadRecord(KeyOf(root, study), wanted, attributes))
      CountImages(head->version);
  }

  bool full() const {
    return series_.size() >= limits_.series || images_ >= limits_.images ||
           looked_at_ >= limits_.series_looked_at;
  }

  void AddPatient(const std::string& name) {
    const auto id = DecodeName(name);
    if (!id) return;
    const ObjectPath patient = collection_.Child(*id, collection_.server);
    const DirectoryKey key = ChildKey(collection_key_, *id);
    const auto studies = store_.ReadHeads(key);
    if (!studies) return;
    for (const auto& [study_name, head] : *studies) {
      const auto study = DecodeName(study_name);
      if (study) AddStudy(patient.Child(*study, patient.server), ChildKey(key, *study));
      if (full()) return;
    }
  }

  // The patients from `from` on, up to but not including `until` ("": to the end).
  void AddPatients(std::string from, const std::string& until) {
    for (bool more = true; more && !full();) {
      const auto names = store_.ReadNames(collection_key_, from, kPatientsPerRead + 1);
      if (!names) return;
      more = names->size() > kPatientsPerRead;
      for (size_t i = 0; i < std::min(names->size(), kPatientsPerRead) && !full(); ++i) {
        if (!until.empty() && (*names)[i] >= until) return;
        AddPatient((*names)[i]);
      }
      if (more) from = names->back();
    }
  }

  std::vector<ObjectPath> Take() { return std::move(series_); }

 private:
  void CountImages(const source::SeriesVersion& version) {
    images_ += version.image_count >= 0 ? version.image_count : kImagesIfUnknown;
  }

  void AddStudy(const ObjectPath& study, const DirectoryKey& key) {
    const auto rows = store_.ReadHeads(key);
    if (!rows) return;
    for (const auto& [name, head] : *rows) {
      if (full()) return;
      ++looked_at_;
      const auto id = DecodeName(name);
      if (!id || !wants_(ChildKey(key, *id))) continue;
      ObjectPath series = study.Child(*id, study.server);
      if (series == wanted_) continue;
      CountImages(head.version);
      if (images_ > limits_.images) return;
      series_.push_back(std::move(series));
    }
  }

  const DirectoryStore& store_;
  const ObjectPath& wanted_;
  const std::function<bool(const DirectoryKey&)>& wants_;
  const PlanLimits limits_;
  ObjectPath collection_;
  DirectoryKey collection_key_;
  std::vector<ObjectPath> series_;
  int64_t images_ = 0;
  size_t looked_at_ = 0;
};

}  // namespace

std::vector<ObjectPath> PlanInstances(const DirectoryStore& store, const DirectoryKey& root,
                                      const ObjectPath& wanted, bool on_a_walk,
                                      const std::function<bool(const DirectoryKey&)>& wants,
                                      const PlanLimits& limits) {
  Plan plan(store, root, wanted, wants, limits);
  const std::string patient = EncodeName(wanted.patient.text());
  if (on_a_walk) {
    plan.AddPatients(patient, {});
    plan.AddPatients({}, patient);
  } else {
    plan.AddPatient(patient);
  }
  return plan.Take();
}

}  // namespace tciafs::catalog
