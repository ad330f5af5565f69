// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "lists.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "replies.h"
#include "series_filter.h"

namespace tciafs::archive {
namespace {

// --- values ---------------------------------------------------------------------------------

// Sorted; columns that know null values begin with an empty row.
Reply ValuesReply(const Call& call, std::string_view column, std::string Series::*field,
                  bool null_first, SeriesFilter filter) {
  std::set<std::string> values;
  Visit(call.holdings, filter, [&](const Series& row) {
    if (const std::string& value = row.*field; !value.empty()) values.insert(value);
    return true;
  });
  return ListReply(call,
                   [column, null_first, values = std::move(values)](const RowVisitor& visitor) {
                     Row row;
                     if (null_first && !values.empty()) {
                       row.Null(column);
                       if (!visitor(row)) return;
                     }
                     for (const std::string& value : values) {
                       row.Clear();
                       row.Text(column, value);
                       if (!visitor(row)) return;
                     }
                   });
}

// --- patients and studies -------------------------------------------------------------------

void FillPatientRow(const Series& series, bool v4, Row& row) {
  row.Clear();
  row.Text("PatientId", series.patient_id);
  row.TextOrBlank("PatientName", series.patient_name);
  if (!v4) row.Null("PatientBirthDate");
  row.Text("PatientSex", series.patient_sex);
  row.Text("EthnicGroup", series.ethnic_group);
  row.Text("Collection", series.collection);
  row.Text("Phantom", "NO");
  row.Text("SpeciesCode", "337915000");
  row.Text("SpeciesDescription", "Homo sapiens");
  AppendAuthorized(row, v4);
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// One row per patient who has a series that fits. `wanted_id` compares as it stands.
Reply PatientsReply(const Call& call, SeriesFilter filter, OptionalText wanted_id) {
  if (wanted_id) filter.scope.patient_id = wanted_id;  // case decides further down
  const bool v4 = call.v4();
  const Holdings& holdings = call.holdings;
  return ListReply(call, [&holdings, filter = std::move(filter), wanted_id = std::move(wanted_id),
                          v4](const RowVisitor& visitor) {
    int64_t last_pk = -1;
    Row row;
    Visit(holdings, filter, [&](const Series& series) {
      if (series.patient_pk == last_pk) return true;
      last_pk = series.patient_pk;
      if (wanted_id && !SameText(*wanted_id, series.patient_id, false)) return true;
      FillPatientRow(series, v4, row);
      return visitor(row);
    });
  });
}

void FillStudyRow(const Series& series, int64_t series_count, bool v4, Row& row) {
  row.Clear();
  row.Text("StudyInstanceUID", series.study_uid);
  AppendDate(row, "StudyDate", series.study_day, v4);
  row.Text("StudyDescription", series.study_description);
  row.Null("AdmittingDiagnosesDescription");
  row.Text("StudyID", series.study_id);
  row.Text("PatientAge", series.patient_age);
  row.Text("PatientID", series.patient_id);
  row.TextOrBlank("PatientName", series.patient_name);
  if (!v4) row.Null("PatientBirthDate");
  row.Text("PatientSex", series.patient_sex);
  row.Text("EthnicGroup", series.ethnic_group);
  row.Text("Collection", series.collection);
  row.Number("SeriesCount", series_count);
  row.Null("LongitudinalTemporalEventType");
  row.Null("LongitudinalTemporalOffsetFromEvent");
  AppendAuthorized(row, v4);
}

// One row per study, with the number of its series that fit.
Reply StudiesReply(const Call& call, SeriesFilter filter) {
  const bool v4 = call.v4();
  const Holdings& holdings = call.holdings;
  return ListReply(call, [&holdings, filter = std::move(filter), v4](const RowVisitor& visitor) {
    Series study;
    int64_t series_count = 0;
    Row row;
    bool wanted = true;
    const auto finish_study = [&] {
      if (series_count == 0) return true;
      FillStudyRow(study, series_count, v4, row);
      return wanted = visitor(row);
    };
    Visit(holdings, filter, [&](const Series& series) {
      if (series_count == 0 || series.study_pk != study.study_pk) {
        if (!finish_study()) return false;
        study = series;
        series_count = 0;
      }
      ++series_count;
      return true;
    });
    if (wanted) finish_study();
  });
}

}  // namespace

Reply GetCollectionValues(const Call& call) {
  return ListReply(call,
                   [names = call.holdings.CollectionNames(call.viewer)](const RowVisitor& visitor) {
                     Row row;
                     for (const std::string& name : names) {
                       row.Clear();
                       row.Text("Collection", name);
                       if (!visitor(row)) return;
                     }
                   });
}

Reply GetModalityValues(const Call& call) {
  SeriesFilter filter = FilterOf(call);
  filter.body_part = call.request.Parameter("BodyPartExamined");
  return ValuesReply(call, "Modality", &Series::modality, false, std::move(filter));
}

Reply GetBodyPartValues(const Call& call) {
  SeriesFilter filter = FilterOf(call);
  filter.modality = call.request.Parameter("Modality");
  return ValuesReply(call, "BodyPartExamined", &Series::body_part, true, std::move(filter));
}

Reply GetManufacturerValues(const Call& call) {
  SeriesFilter filter = FilterOf(call);
  filter.modality = call.request.Parameter("Modality");
  filter.body_part = call.request.Parameter("BodyPartExamined");
  return ValuesReply(call, "Manufacturer", &Series::manufacturer, true, std::move(filter));
}

Reply GetPatient(const Call& call) {
  auto wanted_id = call.request.Parameter("PatientId");
  if (call.options.old_schema) wanted_id.reset();  // came in 2025
  // v1 and v2 turn the parameter to upper case and compare it with a column that is not.
  if (wanted_id && !call.v4()) wanted_id = Upper(std::move(*wanted_id));
  return PatientsReply(call, FilterOf(call), std::move(wanted_id));
}

Reply GetPatientStudy(const Call& call) {
  SeriesFilter filter = FilterOf(call);
  filter.scope.patient_id = call.request.Parameter("PatientID");
  filter.scope.study_uid = call.request.Parameter("StudyInstanceUID");
  return StudiesReply(call, std::move(filter));
}

Reply NewPatientsInCollection(const Call& call) {
  const char* date = call.v4() ? "fromDate" : "Date";
  for (const char* name : {"Collection", date})
    if (!call.request.Parameter(name)) return MissingParameterReply(name, true);
  SeriesFilter filter = FilterOf(call);
  if (!ReadSince(call, date, DayForm::kYearFirst, filter)) return Reply{};
  return PatientsReply(call, std::move(filter), std::nullopt);
}

Reply NewStudiesInPatientCollection(const Call& call) {
  const char* date = call.v4() ? "fromDate" : "Date";
  for (const char* name : {"Collection", date})
    if (!call.request.Parameter(name)) return MissingParameterReply(name, true);
  SeriesFilter filter = FilterOf(call);
  filter.scope.patient_id = call.request.Parameter("PatientID");
  if (!ReadSince(call, date, DayForm::kYearFirst, filter)) return Reply{};
  return StudiesReply(call, std::move(filter));
}

}  // namespace tciafs::archive
