// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <algorithm>
#include <utility>

#include "tciafs/catalog/catalog.h"
#include "tciafs/catalog/names.h"

namespace tciafs::catalog {

ObjectPath ObjectPath::Child(std::string id, size_t child_server) const& {
  return ObjectPath(*this).Child(std::move(id), child_server);
}

ObjectPath ObjectPath::Child(std::string id, size_t child_server) && {
  switch (level) {
    case Level::kRoot:
      level = Level::kCollection;
      server = child_server;
      collection = source::CollectionId(std::move(id));
      break;
    case Level::kCollection:
      level = Level::kPatient;
      patient = source::PatientId(std::move(id));
      break;
    case Level::kPatient:
      level = Level::kStudy;
      study = source::StudyUid(std::move(id));
      break;
    case Level::kStudy:
      level = Level::kSeries;
      series = source::SeriesUid(std::move(id));
      break;
    case Level::kSeries:
      level = Level::kInstance;
      sop = source::SopUid(std::move(id));
      break;
    case Level::kInstance:  // a file has no children
      break;
  }
  return std::move(*this);
}

ObjectPath ObjectPath::At(Level ancestor) const& { return ObjectPath(*this).At(ancestor); }

ObjectPath ObjectPath::At(Level ancestor) && {
  if (level <= ancestor) return std::move(*this);
  level = ancestor;
  sop = {};
  if (level < Level::kSeries) series = {};
  if (level < Level::kStudy) study = {};
  if (level < Level::kPatient) patient = {};
  if (level < Level::kCollection) collection = {};
  return std::move(*this);
}

ObjectPath ObjectPath::OfSeries(const source::SeriesRecord& record, size_t server) {
  return {Level::kSeries, server, record.collection, record.patient, record.study,
          record.series,  {}};
}

std::string ObjectPath::Text() const {
  if (level == Level::kRoot) return "/";
  std::string text;
  const auto append = [&](Level of, const std::string& name) {
    if (level >= of) text.append("/").append(name);
  };
  append(Level::kCollection, EncodeName(collection.text()));
  append(Level::kPatient, EncodeName(patient.text()));
  append(Level::kStudy, EncodeName(study.text()));
  append(Level::kSeries, EncodeName(series.text()));
  append(Level::kInstance, InstanceName(sop.text()));
  return text;
}

const Entry* Listing::Find(std::string_view name) const {
  const auto entry =
      std::lower_bound(entries.begin(), entries.end(), name,
                       [](const Entry& e, std::string_view n) { return e.name < n; });
  return entry != entries.end() && entry->name == name ? &*entry : nullptr;
}

}  // namespace tciafs::catalog
