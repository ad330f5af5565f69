// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "drill_down.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "replies.h"
#include "table.h"

namespace tciafs::archive {
namespace {

// Writes one JSON object, in the order of the calls.
class JsonObject {
 public:
  JsonObject& Text(std::string_view name, std::string_view value) {  // "" is null
    if (value.empty()) return Raw(name, "null");
    Name(name);
    AppendJsonString(json_, value, false);
    return *this;
  }
  JsonObject& Number(std::string_view name, std::optional<int64_t> value) {
    return Raw(name, value ? fmt::format("{}", *value) : "null");
  }
  JsonObject& Raw(std::string_view name, std::string_view json) {
    Name(name);
    json_ += json;
    return *this;
  }
  std::string Finish() { return json_ + "}"; }

 private:
  void Name(std::string_view name) {
    if (json_.size() > 1) json_ += ',';
    AppendJsonString(json_, name, false);
    json_ += ':';
  }
  std::string json_ = "{";
};

template <typename Items, typename ToJson>
std::string JsonArray(const Items& items, ToJson to_json) {
  std::string json = "[";
  for (const auto& item : items) {
    if (json.size() > 1) json += ',';
    json += to_json(item);
  }
  return json + "]";
}

std::string JsonText(const std::string& text) {
  std::string json;
  AppendJsonString(json, text, false);
  return json;
}

Reply JsonReply(std::string json) {
  Reply reply;
  reply.content_type = "application/json";
  if (json.size() <= kReplyBufferBytes) {
    reply.body = std::move(json);
    return reply;
  }
  reply.writer = [whole = std::make_shared<const std::string>(std::move(json))](BodySink& sink) {
    return sink.Write(*whole);
  };
  return reply;
}

std::vector<std::string> ListOf(const Call& call) {
  std::vector<std::string> list;
  const auto [first, end] = call.request.form.equal_range("list");
  for (auto field = first; field != end; ++field) list.push_back(field->second);
  return list;
}

std::string SeriesJson(const Series& row) {
  return JsonObject()
      .Text("seriesNumber", row.series_number ? fmt::format("{}.000000", *row.series_number) : "")
      .Text("seriesUID", row.series_uid)
      .Text("seriesId", row.series_uid)
      .Number("seriesPkId", row.series_pk)
      .Number("numberImages", row.image_count)
      .Text("modality", row.modality)
      .Text("manufacturer", row.manufacturer)
      .Raw("annotationsFlag", row.annotated ? "true" : "false")
      .Number("annotationsSize", 0)
      .Text("patientId", row.patient_id)
      .Number("patientPkId", row.patient_pk)
      .Text("studyId", row.study_uid)
      .Number("studyPkId", row.study_pk)
      .Number("totalSizeForAllImagesInSeries", row.total_bytes)
      .Number("exactSize", row.total_bytes)
      .Text("project", row.collection)
      .Text("description", row.series_description)
      .Text("dataProvenanceSiteName", row.collection)
      .Text("maxFrameCount", "0")
      .Text("bodyPartExamined", row.body_part)
      .Text("thirdPartyAnalysis", row.third_party ? "YES" : "NO")
      .Text("descriptionURI", row.description_uri)
      .Finish();
}

std::string StudyJson(const std::vector<Series>& series) {
  const Series& row = series.front();
  return JsonObject()
      .Text("studyId", row.study_uid)
      .Text("date", row.study_day ? AmericanDay(*row.study_day) : "")
      .Text("description", row.study_description)
      .Number("id", row.study_pk)
      .Text("study_id", row.study_id)
      .Raw("excludeCommercial", "null")
      .Raw("seriesList", JsonArray(series, SeriesJson))
      .Finish();
}

// --- simple search --------------------------------------------------------------------------

// The values asked for, by criterion: one of each must hold.
using Criteria = std::map<std::string, std::set<std::string>>;

Criteria CriteriaOf(const Call& call) {
  Criteria criteria;
  for (const auto& [name, type] : call.request.form) {
    if (!name.starts_with("criteriaType")) continue;
    const std::string number = name.substr(std::string_view("criteriaType").size());
    criteria[type].insert(call.request.Parameter("value" + number).value_or(""));
  }
  return criteria;
}

bool Fits(const Criteria& criteria, const Series& row) {
  const std::map<std::string, const std::string&> fields = {
      {"CollectionCriteria", row.collection},    {"PatientCriteria", row.patient_id},
      {"StudyCriteria", row.study_uid},          {"SeriesCriteria", row.series_uid},
      {"ImageModalityCriteria", row.modality},   {"AnatomicalSiteCriteria", row.body_part},
      {"ManufacturerCriteria", row.manufacturer}};
  return std::all_of(criteria.begin(), criteria.end(), [&](const auto& criterion) {
    const auto field = fields.find(criterion.first);
    return field != fields.end() && criterion.second.count(field->second) != 0;
  });
}

// Only a criterion with one value narrows the visit; Fits decides.
Scope ScopeOf(const Call& call, const Criteria& criteria) {
  Scope scope;
  scope.viewer = call.viewer;
  const auto narrow = [&](const char* criterion, std::optional<std::string>& field) {
    const auto found = criteria.find(criterion);
    if (found != criteria.end() && found->second.size() == 1) field = *found->second.begin();
  };
  narrow("CollectionCriteria", scope.collection);
  narrow("PatientCriteria", scope.patient_id);
  narrow("StudyCriteria", scope.study_uid);
  narrow("SeriesCriteria", scope.series_uid);
  return scope;
}

std::string FoundPatientJson(const std::vector<Series>& series) {
  std::map<int64_t, std::vector<int64_t>> series_by_study;
  std::set<std::string> modalities;
  std::set<std::string> body_parts;
  for (const Series& row : series) {
    series_by_study[row.study_pk].push_back(row.series_pk);
    if (!row.modality.empty()) modalities.insert(row.modality);
    if (!row.body_part.empty()) body_parts.insert(row.body_part);
  }
  const auto number = [](int64_t key) { return fmt::format("{}", key); };
  const auto study = [&](const auto& entry) {
    return JsonObject()
        .Number("studyIdentifier", entry.first)
        .Raw("seriesIdentifiers", JsonArray(entry.second, number))
        .Raw("seriesAndModality", "[]")
        .Finish();
  };
  const Series& row = series.front();
  return JsonObject()
      .Number("id", row.patient_pk)
      .Text("subjectId", row.patient_id)
      .Text("project", row.collection)
      .Raw("authorized", "true")
      .Number("totalNumberOfSeries", static_cast<int64_t>(series.size()))
      .Number("totalNumberOfStudies", static_cast<int64_t>(series_by_study.size()))
      .Raw("studyIdentifiers", JsonArray(series_by_study, study))
      .Raw("modalities", JsonArray(modalities, JsonText))
      .Raw("bodyParts", JsonArray(body_parts, JsonText))
      .Raw("species", "[\"Homo sapiens\"]")
      .Finish();
}

std::optional<int64_t> WholeNumber(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// --- images ---------------------------------------------------------------------------------

struct FoundImage {
  int64_t number;
  size_t series;  // in the list of series asked for
  int64_t instance;
};

std::string ImageJson(const SeriesHandle& series, int64_t instance) {
  const Instance found = series.InstanceAt(instance);
  const Series& row = series.row;
  return JsonObject()
      .Number("imagePkId", row.series_pk * 1000 + instance)
      .Text("contentDate", row.series_day ? AmericanDay(*row.series_day) : "")
      .Raw("contentTime", "null")
      .Number("seriesPkId", row.series_pk)
      .Number("instanceNumber", found.number)
      .Text("sopInstanceUid", found.sop_uid)
      .Text("seriesInstanceUid", row.series_uid)
      .Text("studyInstanceUid", row.study_uid)
      .Number("size", found.size_bytes)
      .Text("fileURI", fmt::format("/archive/{}/{:08}.dcm", row.series_pk, instance + 1))
      .Raw("project", "null")
      .Raw("siteName", "null")
      .Text("frameNum", "0")
      .Number("acquisitionNumber", found.number)
      .Finish();
}

}  // namespace

Reply GetStudyDrillDownWithSeriesIds(const Call& call) {
  std::map<int64_t, std::vector<Series>> by_study;
  for (const std::string& uid : ListOf(call)) {
    const auto found = call.holdings.FindSeries(call.viewer, uid);
    if (found && found->visible) by_study[found->row.study_pk].push_back(found->row);
  }
  return JsonReply(JsonArray(by_study, [](const auto& entry) { return StudyJson(entry.second); }));
}

Reply GetSimpleSearch(const Call& call) {
  for (const char* name : {"sortField", "sortDirection", "start", "size"})
    if (!call.request.Parameter(name)) return NullPointerReply();
  const auto start = WholeNumber(*call.request.Parameter("start"));
  const auto size = WholeNumber(*call.request.Parameter("size"));
  if (!start || !size || *start < 0 || *size < 0) return ServerErrorReply("For input string: \"\"");
  const Criteria criteria = CriteriaOf(call);
  std::map<std::pair<std::string, int64_t>, std::vector<Series>> by_patient;
  bool broken = false;
  call.holdings.VisitSeries(ScopeOf(call, criteria), [&](const Series& row) {
    if (!Fits(criteria, row)) return true;
    // The query joins its columns with '/' and splits them again.
    broken |=
        row.body_part.find('/') != std::string::npos || row.modality.find('/') != std::string::npos;
    by_patient[{row.patient_id, row.patient_pk}].push_back(row);
    return !broken;
  });
  if (broken) return ServerErrorReply("For input string: \"\"");
  std::vector<std::string> page;
  int64_t position = 0;
  for (const auto& [key, series] : by_patient) {
    if (position >= *start && position - *start < *size) page.push_back(FoundPatientJson(series));
    ++position;
  }
  return JsonReply(JsonObject()
                       .Raw("resultSet", JsonArray(page, [](const auto& json) { return json; }))
                       .Number("totalPatients", position)
                       .Finish());
}

Reply GetImageDrillDown(const Call& call) {
  std::vector<SeriesHandle> series;
  for (const std::string& text : ListOf(call)) {
    const auto key = WholeNumber(text);
    if (!key) return ServerErrorReply(fmt::format("For input string: \"{}\"", text));
    if (auto found = call.holdings.FindSeriesByKey(*key)) series.push_back(std::move(*found));
  }
  std::vector<FoundImage> images;
  for (size_t s = 0; s < series.size(); ++s) {
    for (int64_t i = 0; i < series[s].row.image_count; ++i) {
      const auto number = series[s].InstanceAt(i).number;
      if (!number && call.v4()) return NullPointerReply();  // unboxed
      images.push_back({number.value_or(std::numeric_limits<int64_t>::min()), s, i});
    }
  }
  std::stable_sort(images.begin(), images.end(),
                   [](const FoundImage& a, const FoundImage& b) { return a.number < b.number; });
  return JsonReply(JsonArray(images, [&](const FoundImage& image) {
    return ImageJson(series[image.series], image.instance);
  }));
}

}  // namespace tciafs::archive
