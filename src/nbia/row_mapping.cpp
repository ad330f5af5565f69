// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/row_mapping.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <unordered_map>

#include "nbia/json_values.h"
#include "nbia/limits.h"

namespace tciafs::nbia {
namespace {

using source::Attribute;
using source::Attributes;

struct Spelling {
  std::string_view theirs;
  std::string_view ours;
};

// Every other spelling that servers are known to use.
constexpr std::array kSpellings = {
    Spelling{"PatientId", "PatientID"},
    Spelling{"Patient ID", "PatientID"},
    Spelling{"Subject ID", "PatientID"},
    Spelling{"Study UID", "StudyInstanceUID"},
    Spelling{"Study Instance UID", "StudyInstanceUID"},
    Spelling{"Series UID", "SeriesInstanceUID"},
    Spelling{"Series Instance UID", "SeriesInstanceUID"},
    Spelling{"SOP Class UID", "SOPClassUID"},
    Spelling{"TimeStamp", "MaxSubmissionTimestamp"},
    Spelling{"Max Submission Timestamp", "MaxSubmissionTimestamp"},
    Spelling{"CollectionURI", "DataDescriptionURI"},
    Spelling{"Collection URI", "DataDescriptionURI"},
    Spelling{"Data Description URI", "DataDescriptionURI"},
    Spelling{"StudyDesc", "StudyDescription"},
    Spelling{"Study Description", "StudyDescription"},
    Spelling{"Series Description", "SeriesDescription"},
    Spelling{"Study Date", "StudyDate"},
    Spelling{"Series Date", "SeriesDate"},
    Spelling{"Series Number", "SeriesNumber"},
    Spelling{"Date Released", "DateReleased"},
    Spelling{"Number of Images", "ImageCount"},
    Spelling{"Image Count", "ImageCount"},
    Spelling{"File Size", "FileSize"},
    Spelling{"License Name", "LicenseName"},
    Spelling{"License URL", "LicenseURI"},
    Spelling{"License URI", "LicenseURI"},
    Spelling{"3rd Party Analysis", "ThirdPartyAnalysis"},
    Spelling{"Third Party Analysis", "ThirdPartyAnalysis"},
    Spelling{"Protocol Name", "ProtocolName"},
    Spelling{"Body Part Examined", "BodyPartExamined"},
    Spelling{"Annotations Flag", "AnnotationsFlag"},
    Spelling{"Manufacturer Model Name", "ManufacturerModelName"},
    Spelling{"Software Versions", "SoftwareVersions"},
    Spelling{"AdmittingDiagnosisDescription", "AdmittingDiagnosesDescription"},
    Spelling{"LongitudinalTemportalOffsetFromEvent", "LongitudinalTemporalOffsetFromEvent"},
};

constexpr std::array<std::string_view, 5> kDateNames = {
    "SeriesDate", "StudyDate", "DateReleased", "MaxSubmissionTimestamp", "PatientBirthDate"};
constexpr std::array<std::string_view, 3> kNumberNames = {"ImageCount", "FileSize", "SeriesNumber"};

template <typename Names>
bool Contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string CanonicalName(std::string name) {
  static const auto spellings = [] {
    std::unordered_map<std::string_view, std::string_view> by_theirs;
    for (const auto& spelling : kSpellings) by_theirs.emplace(spelling.theirs, spelling.ours);
    return by_theirs;
  }();
  const auto found = spellings.find(name);
  return found == spellings.end() ? name : std::string(found->second);
}

bool AllDigits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "yyyy-MM-dd" with a sensible month and day.
bool IsIsoDay(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  if (!AllDigits(text.substr(0, 4)) || !AllDigits(text.substr(5, 2)) ||
      !AllDigits(text.substr(8, 2)))
    return false;
  const auto month = text.substr(5, 2);
  const auto day = text.substr(8, 2);
  return month >= "01" && month <= "12" && day >= "01" && day <= "31";
}

bool IsTimeOfDay(std::string_view text) {
  return text.size() == 8 && text[2] == ':' && text[5] == ':' && AllDigits(text.substr(0, 2)) &&
         AllDigits(text.substr(3, 2)) && AllDigits(text.substr(6, 2));
}

int NumberIn(std::string_view digits) {
  int number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

void Canonicalise(Attribute& attribute) {
  attribute.name = CanonicalName(std::move(attribute.name));
  if (Contains(kDateNames, attribute.name)) attribute.value = IsoDate(attribute.value);
  if (!Contains(kNumberNames, attribute.name)) return;
  if (const auto number = WholeNumber(attribute.value)) {
    attribute.value = std::to_string(*number);
    attribute.is_number = true;
  }
}

}  // namespace

Result<Attributes> ParseRow(std::string_view row) {
  TCIAFS_ASSIGN(Attributes attributes, ParseAttributes(row));
  for (auto& attribute : attributes) Canonicalise(attribute);
  return attributes;
}

std::string_view ValueOf(const Attributes& attributes, std::string_view name) {
  for (const auto& attribute : attributes)
    if (attribute.name == name) return attribute.value;
  return {};
}

std::string IsoDate(std::string_view text) {
  std::string day;
  if (text.size() >= 10 && IsIsoDay(text.substr(0, 10))) {
    day = text.substr(0, 10);
  } else if (text.size() >= 10 && text[2] == '-' && text[5] == '-') {
    day = std::string(text.substr(6, 4)) + '-' + std::string(text.substr(0, 2)) + '-' +
          std::string(text.substr(3, 2));
  }
  if (!IsIsoDay(day)) return std::string(text);
  std::string_view rest = text.substr(10);
  if (rest.empty()) return day;
  if ((rest[0] != ' ' && rest[0] != 'T') || rest.size() < 9 || !IsTimeOfDay(rest.substr(1, 8)))
    return std::string(text);
  const std::string_view fraction = rest.substr(9);
  if (!fraction.empty() && fraction != "Z" &&
      (fraction[0] != '.' || (fraction.size() > 1 && !AllDigits(fraction.substr(1)))))
    return std::string(text);
  // java.sql prints a date without time of day as midnight.
  const auto time = rest.substr(1, 8);
  return time == "00:00:00" ? day : day + 'T' + std::string(time);
}

std::optional<int64_t> WholeNumber(std::string_view text) {
  const auto point = text.find('.');
  if (point != std::string_view::npos) {
    if (text.find_first_not_of('0', point + 1) != std::string_view::npos) return std::nullopt;
    text = text.substr(0, point);
  }
  if (!AllDigits(text)) return std::nullopt;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

int64_t NumberUpTo(std::string_view text, int64_t max) {
  const auto number = WholeNumber(text);
  return number && *number <= max ? *number : -1;
}

int64_t UnixSeconds(std::string_view iso) {
  if (iso.size() < 10 || !IsIsoDay(iso.substr(0, 10))) return 0;
  const std::chrono::year_month_day date{
      std::chrono::year(NumberIn(iso.substr(0, 4))),
      std::chrono::month(static_cast<unsigned>(NumberIn(iso.substr(5, 2)))),
      std::chrono::day(static_cast<unsigned>(NumberIn(iso.substr(8, 2))))};
  if (!date.ok()) return 0;
  const int64_t day_s = std::chrono::sys_days(date).time_since_epoch().count() * int64_t{86400};
  if (iso.size() < 19 || !IsTimeOfDay(iso.substr(11, 8))) return day_s;
  return day_s + NumberIn(iso.substr(11, 2)) * 3600 + NumberIn(iso.substr(14, 2)) * 60 +
         NumberIn(iso.substr(17, 2));
}

std::optional<source::CollectionRecord> ToCollection(const Attributes& row) {
  const auto name = ValueOf(row, "Collection");
  if (name.empty() || name.size() > kIdBytesMax) return std::nullopt;
  return source::CollectionRecord{source::CollectionId(std::string(name))};
}

std::optional<source::PatientRecord> ToPatient(Attributes row,
                                               const source::CollectionId& collection) {
  const auto of = ValueOf(row, "Collection");
  if (!of.empty() && of != collection.text()) return std::nullopt;
  const auto patient = ValueOf(row, "PatientID");
  if (patient.empty() || patient.size() > kIdBytesMax) return std::nullopt;
  source::PatientRecord record{collection, source::PatientId(std::string(patient)), {}};
  record.attributes = std::move(row);
  return record;
}

std::optional<source::SeriesRecord> ToSeries(Attributes row, const source::CollectionId& collection,
                                             const source::PatientId& patient) {
  const auto of = ValueOf(row, "Collection");
  if (!of.empty() && of != collection.text()) return std::nullopt;
  std::string_view who = ValueOf(row, "PatientID");
  if (who.empty()) who = patient.text();
  if (!patient.empty() && who != patient.text()) return std::nullopt;
  const auto study = ValueOf(row, "StudyInstanceUID");
  const auto series = ValueOf(row, "SeriesInstanceUID");
  for (const auto id : {who, study, series})
    if (id.empty() || id.size() > kIdBytesMax) return std::nullopt;
  if (series.size() > kUidBytesMax) return std::nullopt;

  source::SeriesRecord record;
  record.collection = collection;
  record.patient = source::PatientId(std::string(who));
  record.study = source::StudyUid(std::string(study));
  record.series = source::SeriesUid(std::string(series));
  record.version.timestamp = ValueOf(row, "MaxSubmissionTimestamp").substr(0, kTimestampBytesMax);
  record.version.image_count = NumberUpTo(ValueOf(row, "ImageCount"), kSeriesImagesMax);
  record.version.total_bytes = NumberUpTo(ValueOf(row, "FileSize"), kSeriesBytesMax);
  record.modified_s = UnixSeconds(record.version.timestamp);
  record.attributes = std::move(row);
  return record;
}

bool IsUid(std::string_view text) {
  return !text.empty() && text.size() <= kUidBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace tciafs::nbia
