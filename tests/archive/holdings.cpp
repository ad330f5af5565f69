// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "holdings.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "permutation.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

constexpr int64_t kKeysLeast = 1'000'000;  // room for a collection to grow into

std::string_view WithoutTrailingBlanks(std::string_view text) {
  const size_t last = text.find_last_not_of(' ');
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

int64_t SeriesCount(const Collection& collection) {
  const int64_t patients = collection.patient_count();
  return patients == 0 ? 0 : collection.PatientSeries(patients - 1).end;
}

}  // namespace

bool SameText(std::string_view a, std::string_view b, bool ignore_case) {
  a = WithoutTrailingBlanks(a);
  b = WithoutTrailingBlanks(b);
  return ignore_case ? EqualsIgnoringCase(a, b) : a == b;
}

Status Holdings::Add(std::unique_ptr<Collection> collection) {
  Series first;
  for (const Shelf& shelf : shelves_)
    if (shelf.collection->name() == collection->name())
      return Fail(Errc::kInvalidArgument,
                  fmt::format("there are two collections '{}'", collection->name()));
  if (collection->patient_count() > 0) {
    collection->FillSeries(0, {}, first);
    for (const Shelf& shelf : shelves_)
      if (shelf.collection->FindSeries(first.series_uid))
        return Fail(Errc::kInvalidArgument,
                    fmt::format("series {} of '{}' is in '{}' too", first.series_uid,
                                collection->name(), shelf.collection->name()));
  }
  Shelf shelf;
  shelf.first_key = shelves_.empty() ? 1 : shelves_.back().first_key + shelves_.back().keys;
  shelf.keys = std::max(kKeysLeast, 2 * SeriesCount(*collection));
  shelf.collection = std::move(collection);
  shelves_.push_back(std::move(shelf));
  return {};
}

Status Holdings::Restrict(const std::string& collection, const Viewer& viewer) {
  if (FindShelf(collection) == nullptr) return Fail(Errc::kNotFound, "no collection " + collection);
  return Change([&](Changes& changes) -> Status {
    changes.restricted[collection] = viewer;
    return {};
  });
}

std::shared_ptr<const Holdings::Changes> Holdings::changes() const {
  MutexLock lock(mutex_);
  return changes_;
}

Status Holdings::Change(const std::function<Status(Changes&)>& change) {
  MutexLock lock(mutex_);
  auto changed = std::make_shared<Changes>(*changes_);
  TCIAFS_TRY(change(*changed));
  changes_ = std::move(changed);
  return {};
}

bool Holdings::IsOpen(const Changes& changes, const std::string& collection, const Viewer& viewer) {
  if (changes.dropped.count(collection) != 0) return false;
  if (viewer == kAnyViewer) return true;
  const auto restricted = changes.restricted.find(collection);
  return restricted == changes.restricted.end() || restricted->second == viewer;
}

void Holdings::Apply(const SeriesState& state, Series& row) {
  if (state.edition.number > 0) row.submitted = state.submitted;
}

void Holdings::MakeKeysUnique(const Shelf& shelf, Series& row) {
  row.series_pk += shelf.first_key;
  row.study_pk += shelf.first_key;
  row.patient_pk += shelf.first_key;
}

const Holdings::Shelf* Holdings::FindShelf(const std::string& collection) const {
  const auto found = std::find_if(shelves_.begin(), shelves_.end(), [&](const Shelf& shelf) {
    return shelf.collection->name() == collection;
  });
  return found == shelves_.end() ? nullptr : &*found;
}

std::vector<std::string> Holdings::CollectionNames(const Viewer& viewer) const {
  const auto now = changes();
  std::vector<std::string> names;
  for (const Shelf& shelf : shelves_)
    if (shelf.collection->patient_count() > 0 && IsOpen(*now, shelf.collection->name(), viewer))
      names.push_back(shelf.collection->name());
  std::sort(names.begin(), names.end());
  return names;
}

void Holdings::VisitSeries(const Scope& scope,
                           const std::function<bool(const Series&)>& visitor) const {
  const auto now = changes();
  const Permutation shelf_order(static_cast<int64_t>(shelves_.size()), scope.order);
  for (size_t i = 0; i < shelves_.size(); ++i) {
    const Shelf& shelf = shelves_[static_cast<size_t>(shelf_order.At(static_cast<int64_t>(i)))];
    const std::string& name = shelf.collection->name();
    if (scope.collection && !SameText(*scope.collection, name, true)) continue;
    if (!IsOpen(*now, name, scope.viewer)) continue;
    if (!VisitShelf(shelf, *now, scope, visitor)) return;
  }
}

bool Holdings::VisitShelf(const Shelf& shelf, const Changes& now, const Scope& scope,
                          const std::function<bool(const Series&)>& visitor) const {
  const Collection& collection = *shelf.collection;
  if (scope.series_uid) {
    const auto index = collection.FindSeries(*scope.series_uid);
    if (!index) return true;
    const SeriesHandle handle = Handle(now, shelf, *index);
    return !handle.visible || visitor(handle.row);
  }
  std::optional<std::vector<int64_t>> patients;
  if (scope.study_uid) patients = collection.PatientsOfStudy(*scope.study_uid);
  if (!patients && scope.patient_id) patients = collection.PatientsNamed(*scope.patient_id);
  Series row;
  const bool backwards = scope.order % 2 == 1;
  if (patients) {
    return std::all_of(patients->begin(), patients->end(), [&](int64_t patient) {
      return VisitPatient(shelf, now, patient, backwards, row, visitor);
    });
  }
  const int64_t count = collection.patient_count();
  const Permutation order(count, scope.order);
  for (int64_t i = 0; i < count; ++i)
    if (!VisitPatient(shelf, now, order.At(i), backwards, row, visitor)) return false;
  return true;
}

// `row` is room to work in: filling it again and again spares a million allocations.
bool Holdings::VisitPatient(const Shelf& shelf, const Changes& now, int64_t patient, bool backwards,
                            Series& row, const std::function<bool(const Series&)>& visitor) const {
  const Collection& collection = *shelf.collection;
  const IndexRange range = collection.PatientSeries(patient);
  for (int64_t i = range.first; i < range.end; ++i) {
    const int64_t index = backwards ? range.end - 1 - (i - range.first) : i;
    collection.FillSeries(index, {}, row);
    if (const auto state = now.series.find(row.series_uid); state != now.series.end()) {
      if (state->second.hidden) continue;
      collection.FillSeries(index, state->second.edition, row);
      Apply(state->second, row);
    }
    MakeKeysUnique(shelf, row);
    if (!visitor(row)) return false;
  }
  return true;
}

SeriesHandle Holdings::Handle(const Changes& now, const Shelf& shelf, int64_t index) const {
  SeriesHandle handle;
  handle.collection = shelf.collection.get();
  handle.visible = true;
  handle.collection->FillSeries(index, {}, handle.row);
  if (const auto state = now.series.find(handle.row.series_uid); state != now.series.end()) {
    handle.edition = state->second.edition;
    handle.visible = !state->second.hidden;
    handle.collection->FillSeries(index, handle.edition, handle.row);
    Apply(state->second, handle.row);
  }
  MakeKeysUnique(shelf, handle.row);
  return handle;
}

std::optional<SeriesHandle> Holdings::FindSeries(const Viewer& viewer,
                                                 const std::string& series_uid) const {
  const auto now = changes();
  for (const Shelf& shelf : shelves_) {
    const auto index = shelf.collection->FindSeries(series_uid);
    if (!index) continue;
    if (!IsOpen(*now, shelf.collection->name(), viewer)) return std::nullopt;
    return Handle(*now, shelf, *index);
  }
  return std::nullopt;
}

std::optional<SeriesHandle> Holdings::FindSeriesByKey(int64_t series_pk) const {
  const auto now = changes();
  for (const Shelf& shelf : shelves_) {
    const int64_t index = series_pk - shelf.first_key;
    if (index < 0 || index >= SeriesCount(*shelf.collection) || index >= shelf.keys) continue;
    if (now->dropped.count(shelf.collection->name()) != 0) return std::nullopt;
    return Handle(*now, shelf, index);
  }
  return std::nullopt;
}

std::optional<InstanceHandle> Holdings::FindInstance(const Viewer& viewer,
                                                     const std::string& sop_uid) const {
  const auto now = changes();
  for (const Shelf& shelf : shelves_) {
    const auto address = shelf.collection->FindInstance(sop_uid);
    if (!address) continue;
    if (!IsOpen(*now, shelf.collection->name(), viewer)) return std::nullopt;
    return InstanceHandle{Handle(*now, shelf, address->series), address->instance};
  }
  return std::nullopt;
}

Second Holdings::NextSubmission(const Changes& now) const {
  return Second(std::chrono::seconds(clock_.UnixMs() / 1000)) + std::chrono::days(now.count);
}

Status Holdings::HideSeries(const std::string& series_uid, bool hidden) {
  const bool known = std::any_of(shelves_.begin(), shelves_.end(), [&](const Shelf& shelf) {
    return shelf.collection->FindSeries(series_uid).has_value();
  });
  if (!known) return Fail(Errc::kNotFound, "no series " + series_uid);
  return Change([&](Changes& now) -> Status {
    now.series[series_uid].hidden = hidden;
    return {};
  });
}

Status Holdings::ReplaceSeries(const std::string& series_uid, bool other_size) {
  const bool known = std::any_of(shelves_.begin(), shelves_.end(), [&](const Shelf& shelf) {
    return shelf.collection->FindSeries(series_uid).has_value();
  });
  if (!known) return Fail(Errc::kNotFound, "no series " + series_uid);
  return Change([&](Changes& now) -> Status {
    SeriesState& state = now.series[series_uid];
    ++state.edition.number;
    state.edition.other_size = other_size;
    state.submitted = NextSubmission(now);
    ++now.count;
    return {};
  });
}

Status Holdings::DropCollection(const std::string& name, bool dropped) {
  if (FindShelf(name) == nullptr) return Fail(Errc::kNotFound, "no collection " + name);
  return Change([&](Changes& now) -> Status {
    if (dropped)
      now.dropped.insert(name);
    else
      now.dropped.erase(name);
    return {};
  });
}

Status Holdings::AddPatients(const std::string& collection, int64_t count) {
  const Shelf* shelf = FindShelf(collection);
  if (shelf == nullptr) return Fail(Errc::kNotFound, "no collection " + collection);
  const int64_t patients = shelf->collection->patient_count();
  const int64_t per_patient = patients == 0 ? 1 : SeriesCount(*shelf->collection) / patients;
  if (count < 1 || count > (shelf->keys - SeriesCount(*shelf->collection)) / per_patient)
    return Fail(Errc::kInvalidArgument, fmt::format("{} patients cannot be added", count));
  Second submitted{};
  TCIAFS_TRY(Change([&](Changes& now) -> Status {
    submitted = NextSubmission(now);
    ++now.count;
    return {};
  }));
  if (!shelf->collection->AddPatients(count, submitted))
    return Fail(Errc::kInvalidArgument, "a collection of files does not grow");
  return {};
}

}  // namespace tciafs::archive
