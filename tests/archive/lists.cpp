// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "lists.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "permutation.h"
#include "replies.h"
#include "table.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

using OptionalText = std::optional<std::string>;

// The WHERE clause of a list.
struct SeriesFilter {
  Scope scope;
  OptionalText modality;
  OptionalText body_part;
  OptionalText manufacturer;
  OptionalText model;
  std::optional<Day> submitted_since;
  bool ignore_case = false;  // v4 compares all but the UIDs so

  bool Matches(const Series& row) const {
    const auto same = [&](const OptionalText& wanted, const std::string& value) {
      return !wanted || SameText(*wanted, value, ignore_case);
    };
    const auto same_name = [](const OptionalText& wanted, const std::string& value) {
      return !wanted || SameText(*wanted, value, true);
    };
    return same_name(scope.collection, row.collection) &&
           same_name(scope.patient_id, row.patient_id) &&
           (!scope.study_uid || SameText(*scope.study_uid, row.study_uid, false)) &&
           (!scope.series_uid || SameText(*scope.series_uid, row.series_uid, false)) &&
           same(modality, row.modality) && same(body_part, row.body_part) &&
           same(manufacturer, row.manufacturer) && same(model, row.model) &&
           (!submitted_since || row.submitted >= *submitted_since);
  }
};

SeriesFilter FilterOf(const Call& call) {
  SeriesFilter filter;
  filter.scope.viewer = call.viewer;
  filter.scope.order = call.order;
  filter.scope.collection = call.request.Parameter("Collection");
  filter.ignore_case = call.v4();
  return filter;
}

void Visit(const Holdings& holdings, const SeriesFilter& filter,
           const std::function<bool(const Series&)>& visitor) {
  holdings.VisitSeries(filter.scope,
                       [&](const Series& row) { return !filter.Matches(row) || visitor(row); });
}

Reply ListReply(const Call& call, RowProducer producer, std::string_view default_format = "json") {
  return TableReply(call.request.Parameter("format"), std::move(producer), default_format);
}

void AppendDate(Row& row, std::string_view column, const std::optional<Day>& day, bool v4) {
  if (!day) return row.Null(column);
  row.Text(column, v4 ? AmericanDay(*day) : SqlTimestamp(*day));
}

void AppendTime(Row& row, std::string_view column, Second when, bool v4) {
  row.Text(column, v4 ? AmericanDay(when) : SqlTimestamp(when));
}

void AppendAuthorized(Row& row, bool v4) {
  if (v4) row.Number("Authorized", 1);
}

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

// --- series ---------------------------------------------------------------------------------

struct SeriesColumns {
  bool v4 = false;
  bool old_schema = false;  // end at the time stamp
  bool of_update = false;   // v1/v2 getUpdatedSeries: end at ImageCount, then DateReleased
};

void FillSeriesHead(const Series& series, bool v4, Row& row) {
  row.Clear();
  row.Text("SeriesInstanceUID", series.series_uid);
  row.Text("StudyInstanceUID", series.study_uid);
  row.Text("Modality", series.modality);
  row.Text("ProtocolName", series.protocol);
  AppendDate(row, "SeriesDate", series.series_day, v4);
  row.Text("SeriesDescription", series.series_description);
  row.Text("BodyPartExamined", series.body_part);
  row.Number("SeriesNumber", series.series_number);
  // Here a column of text, there a boolean that is null for false.
  if (v4)
    row.Text("AnnotationsFlag", series.annotated ? "true" : "");
  else
    row.True("AnnotationsFlag", series.annotated);
  row.Text("Collection", series.collection);
  row.Text("PatientID", series.patient_id);
  if (v4) {
    row.Text("Site", series.collection);
    row.Text("PatientSex", series.patient_sex);
    row.Text("PatientAge", series.patient_age);
    row.Null("AdmittingDiagnosisDescription");
  }
  row.Text("Manufacturer", series.manufacturer);
  row.Text("ManufacturerModelName", series.model);
  row.Text("SoftwareVersions", series.software);
  row.Number("ImageCount", series.image_count);
}

void FillSeriesRow(const Series& series, const SeriesColumns& columns, Row& row) {
  const bool v4 = columns.v4;
  FillSeriesHead(series, v4, row);
  if (columns.of_update) return AppendTime(row, "DateReleased", series.submitted, v4);
  AppendTime(row, v4 ? "MaxSubmissionTimestamp" : "TimeStamp", series.submitted, v4);
  if (columns.old_schema) return AppendAuthorized(row, v4);
  row.Text("LicenseName", series.license_name);
  row.Text("LicenseURI", series.license_uri);
  row.Text(v4 ? "DataDescriptionURI" : "CollectionURI", series.description_uri);
  if (v4)
    row.Decimal("FileSize", series.total_bytes);
  else
    row.Number("FileSize", series.total_bytes);
  if (v4) row.Text("ReleasedStatus", "Yes");
  AppendTime(row, "DateReleased", series.submitted, v4);
  row.Text("StudyDesc", series.study_description);
  AppendDate(row, "StudyDate", series.study_day, v4);
  row.Text("ThirdPartyAnalysis", series.third_party ? "YES" : "");
  AppendAuthorized(row, v4);
}

Reply SeriesReply(const Call& call, SeriesFilter filter, SeriesColumns columns) {
  const Holdings& holdings = call.holdings;
  return ListReply(call,
                   [&holdings, filter = std::move(filter), columns](const RowVisitor& visitor) {
                     Row row;
                     Visit(holdings, filter, [&](const Series& series) {
                       FillSeriesRow(series, columns, row);
                       return visitor(row);
                     });
                   });
}

// Reads a date parameter as that family spells it. False: there is none, or it is no date.
bool ReadSince(const Call& call, const char* name, DayForm old_form, SeriesFilter& filter) {
  const auto text = call.request.Parameter(name);
  if (!text) return false;
  filter.submitted_since = ParseDay(*text, call.v4() ? DayForm::kMonthFirst : old_form);
  return filter.submitted_since.has_value();
}

// --- details of one series ------------------------------------------------------------------

// What getSeriesMetaData leaves of a description.
std::string Stripped(std::string text) {
  text.erase(std::remove_if(text.begin(), text.end(),
                            [](unsigned char c) {
                              return std::isalnum(c) == 0 && c != ' ' && c != '.' && c != '-';
                            }),
             text.end());
  return text;
}

std::string WithoutCommas(std::string text) {
  std::replace(text.begin(), text.end(), ',', ' ');
  return text;
}

void FillMetaDataRow(const Series& series, Row& row) {
  const auto day = [&](const std::optional<Day>& when) {
    return when ? AmericanDay(*when) : std::string();
  };
  row.Text("Series UID", series.series_uid);
  row.Text("Collection", series.collection);
  row.Text("3rd Party Analysis", series.third_party ? "YES" : "NO");
  row.Text("Data Description URI", series.description_uri);
  row.Text("Subject ID", series.patient_id);
  row.Text("Study UID", series.study_uid);
  row.Text("Study Description", Stripped(series.study_description));
  row.Text("Study Date", day(series.study_day));
  row.Text("Series Description", Stripped(series.series_description));
  row.Text("Manufacturer", WithoutCommas(series.manufacturer));
  row.Text("Modality", series.modality);
  row.Text("SOP Class UID", series.sop_class);
  row.Text("Number of Images", fmt::format("{}", series.image_count));
  row.Text("File Size", fmt::format("{}", series.total_bytes));
  row.Text("File Location", series.study_id);
  row.Text("Series Number",
           series.series_number ? fmt::format("{}.000000", *series.series_number) : "");
  row.Text("License Name", series.license_name);
  row.Text("License URL", series.license_uri);
  row.Text("Annotation Size", "0");
  row.Text("Date Released", AmericanDay(series.submitted));
  row.Text("Series Date", day(series.series_day));
  row.Text("Protocol Name", series.protocol);
  row.Text("Body Part Examined", series.body_part);
  row.Text("Annotations Flag", series.annotated ? "true" : "");
  row.Text("Manufacturer Model Name", series.model);
  row.Text("Software Versions", series.software);
  row.Text("TimeStamp", AmericanDay(series.submitted));
}

void FillMetadataRowV4(const Series& series, Row& row) {
  row.Clear();
  row.Text("PatientID", series.patient_id);
  row.Text("PatientName", series.patient_name);
  row.Text("PatientSex", series.patient_sex);
  row.Text("EthnicGroup", series.ethnic_group);
  row.Text("Phantom", "NO");
  row.Text("SpeciesCode", "337915000");
  row.Text("SpeciesDescription", "Homo sapiens");
  row.Text("StudyInstanceUID", series.study_uid);
  AppendDate(row, "StudyDate", series.study_day, true);
  row.Text("StudyDesc", series.study_description);
  row.Null("AdmittingDiagnosisDescription");
  row.Text("StudyID", series.study_id);
  row.Text("PatientAge", series.patient_age);
  row.Null("LongitudinalTemporalEventType");
  row.Null("LongitudinalTemporalOffsetFromEvent");
  row.Text("SeriesInstanceUID", series.series_uid);
  row.Text("Collection", series.collection);
  row.Text("Site", series.collection);
  row.Text("Modality", series.modality);
  row.Text("ProtocolName", series.protocol);
  AppendDate(row, "SeriesDate", series.series_day, true);
  row.Text("SeriesDescription", series.series_description);
  row.Text("BodyPartExamined", series.body_part);
  row.Number("SeriesNumber", series.series_number);
  row.Text("AnnotationsFlag", series.annotated ? "true" : "");
  row.Text("Manufacturer", series.manufacturer);
  row.Text("ManufacturerModelName", series.model);
  row.Text("PixelSpacing(mm)-Row", series.pixel_spacing);
  row.Text("SliceThickness(mm)", series.slice_thickness);
  row.Text("SoftwareVersions", series.software);
  row.Number("ImageCount", series.image_count);
  AppendTime(row, "MaxSubmissionTimestamp", series.submitted, true);
  row.Text("LicenseName", series.license_name);
  row.Text("LicenseURI", series.license_uri);
  row.Text("DataDescriptionURI", series.description_uri);
  row.Number("FileSize", series.total_bytes);
  row.Text("ReleasedStatus", "Yes");
  AppendTime(row, "DateReleased", series.submitted, true);
  row.Text("ThirdPartyAnalysis", series.third_party ? "YES" : "");
  row.Text("Authorized", "1");
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

Reply GetSeries(const Call& call) {
  SeriesFilter filter = FilterOf(call);
  filter.scope.patient_id = call.request.Parameter("PatientID");
  filter.scope.study_uid = call.request.Parameter("StudyInstanceUID");
  filter.scope.series_uid = call.request.Parameter("SeriesInstanceUID");
  filter.modality = call.request.Parameter("Modality");
  filter.body_part = call.request.Parameter("BodyPartExamined");
  filter.manufacturer = call.request.Parameter("Manufacturer");
  filter.model = call.request.Parameter("ManufacturerModelName");
  return SeriesReply(call, std::move(filter),
                     {.v4 = call.v4(), .old_schema = call.options.old_schema, .of_update = false});
}

Reply GetSeriesSize(const Call& call) {
  const auto uid = call.request.Parameter("SeriesInstanceUID");
  if (!uid) return MissingParameterReply("SeriesInstanceUID", true);
  const auto series = call.holdings.FindSeries(call.viewer, *uid);
  const bool found = series && series->visible;
  if (!found && call.v4()) return Reply{};
  // The aggregate over no rows is one row of nulls.
  Row row;
  row.Number("TotalSizeInBytes", found ? std::optional(series->row.total_bytes) : std::nullopt);
  row.Number("ObjectCount", found ? std::optional(series->row.image_count) : std::nullopt);
  return ListReply(call, [row](const RowVisitor& visitor) { visitor(row); });
}

// Whether a series is visible does not matter here.
Reply GetSopInstanceUids(const Call& call) {
  const auto uid = call.request.Parameter("SeriesInstanceUID");
  if (!uid) return MissingParameterReply("SeriesInstanceUID", true);
  const auto series = call.holdings.FindSeries(call.viewer, *uid);
  if (!series) return Reply{};
  return ListReply(call, [series = *series, order = call.order](const RowVisitor& visitor) {
    const Permutation permutation(series.row.image_count, order);
    Row row;
    for (int64_t i = 0; i < series.row.image_count; ++i) {
      row.Clear();
      row.Text("SOPInstanceUID", series.InstanceAt(permutation.At(i)).sop_uid);
      if (!visitor(row)) return;
    }
  });
}

Reply GetSeriesMetaData(const Call& call) {
  const auto uid = call.request.Parameter("SeriesInstanceUID");
  if (!uid) return MissingParameterReply("SeriesInstanceUID", true);
  const auto series = call.holdings.FindSeries(call.viewer, *uid);
  if (!series || !series->visible) {
    Reply reply;
    reply.status = 204;
    return reply;
  }
  Row row;
  FillMetaDataRow(series->row, row);
  return ListReply(call, [row](const RowVisitor& visitor) { visitor(row); });
}

Reply GetSeriesMetadataV4(const Call& call) {
  const auto list = call.request.Parameter("list");
  if (!list) return MissingParameterReply("list", true);
  const Holdings& holdings = call.holdings;
  return ListReply(
      call,
      [&holdings, list = *list, viewer = call.viewer](const RowVisitor& visitor) {
        Row row;
        for (const std::string_view uid : SplitText(list, ',')) {
          const auto series = holdings.FindSeries(viewer, std::string(TrimBlanks(uid)));
          if (!series || !series->visible) continue;
          FillMetadataRowV4(series->row, row);
          if (!visitor(row)) return;
        }
      },
      "csv");
}

Reply GetUpdatedSeries(const Call& call) {
  SeriesFilter filter = FilterOf(call);
  filter.scope.collection.reset();
  const bool dated = call.request.Parameter("fromDate").has_value();
  if (dated && !ReadSince(call, "fromDate", DayForm::kDayFirst, filter)) return Reply{};
  Reply reply = SeriesReply(
      call, std::move(filter),
      {.v4 = call.v4(), .old_schema = call.options.old_schema, .of_update = !call.v4()});
  const bool empty = reply.body.empty() && !reply.writer;
  if (empty && call.options.old_schema) return TextReply(500, "text/plain", "No data found.");
  return reply;
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
