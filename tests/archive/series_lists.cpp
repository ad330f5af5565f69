// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "lists.h"
#include "permutation.h"
#include "replies.h"
#include "series_filter.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

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

}  // namespace tciafs::archive
