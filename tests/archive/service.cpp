// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "service.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control.h"
#include "drill_down.h"
#include "images.h"
#include "lists.h"
#include "replies.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

constexpr std::string_view kApplication = "/nbia-api";
constexpr std::string_view kServices = "/nbia-api/services/";

using Answerer = Reply (*)(const Call&);

// What becomes of a caller whose token is rejected. On most lists the exception is swallowed.
enum class Rejection { kEmptyList, kServerError, kUnauthorized, kNoTokenWanted };

constexpr unsigned kV1 = static_cast<unsigned>(Family::kV1);
constexpr unsigned kV2 = static_cast<unsigned>(Family::kV2);
constexpr unsigned kV4 = static_cast<unsigned>(Family::kV4);
constexpr unsigned kOld = kV1 | kV2;
constexpr unsigned kAll = kOld | kV4;
constexpr unsigned kUnversioned = static_cast<unsigned>(Family::kUnversioned);

}  // namespace

struct Endpoint {
  std::string_view name;
  unsigned families;
  std::string_view method;
  EndpointKind kind;
  Rejection rejection;
  Answerer answer;
  std::string_view parameters;  // what v4 allows, separated by ", "
  bool drill_down = false;
};

namespace {

constexpr auto kList = EndpointKind::kMetadata;
constexpr auto kImages = EndpointKind::kImages;

constexpr std::array<Endpoint, 30> kEndpoints = {{
    {"getCollectionValues", kAll, "GET", kList, Rejection::kEmptyList, GetCollectionValues,
     "format"},
    {"getModalityValues", kAll, "GET", kList, Rejection::kEmptyList, GetModalityValues,
     "Collection, BodyPartExamined, format"},
    {"getBodyPartValues", kAll, "GET", kList, Rejection::kEmptyList, GetBodyPartValues,
     "Collection, Modality, format"},
    {"getManufacturerValues", kAll, "GET", kList, Rejection::kEmptyList, GetManufacturerValues,
     "Collection, Modality, BodyPartExamined, format"},
    {"getPatient", kAll, "GET", kList, Rejection::kEmptyList, GetPatient,
     "Collection, PatientId, format"},
    {"getPatientStudy", kAll, "GET", kList, Rejection::kEmptyList, GetPatientStudy,
     "Collection, PatientID, StudyInstanceUID, format"},
    {"getSeries", kOld, "GET", kList, Rejection::kEmptyList, GetSeries, ""},
    {"getSeries", kV4, "GET", kList, Rejection::kServerError, GetSeries,
     "Collection, PatientID, StudyInstanceUID, SeriesInstanceUID, Modality, BodyPartExamined, "
     "Manufacturer, ManufacturerModelName, format"},
    {"getSeriesSize", kAll, "GET", kList, Rejection::kEmptyList, GetSeriesSize,
     "SeriesInstanceUID, format"},
    {"getSOPInstanceUIDs", kAll, "GET", kList, Rejection::kEmptyList, GetSopInstanceUids,
     "SeriesInstanceUID, format"},
    {"getSeriesMetaData", kOld, "GET", kList, Rejection::kEmptyList, GetSeriesMetaData, ""},
    {"getSeriesMetadata", kV4, "POST", kList, Rejection::kEmptyList, GetSeriesMetadataV4,
     "list, format"},
    {"getUpdatedSeries", kAll, "GET", kList, Rejection::kEmptyList, GetUpdatedSeries,
     "fromDate, format"},
    {"NewPatientsInCollection", kAll, "GET", kList, Rejection::kEmptyList, NewPatientsInCollection,
     "Collection, fromDate, format"},
    {"NewStudiesInPatientCollection", kAll, "GET", kList, Rejection::kEmptyList,
     NewStudiesInPatientCollection, "Collection, PatientID, fromDate, format"},
    {"getImage", kAll, "GET", kImages, Rejection::kUnauthorized, GetImage,
     "SeriesInstanceUID, NewFileNames, IncludeMD5"},
    {"getImageWithMD5Hash", kAll, "GET", kImages, Rejection::kUnauthorized, GetImageWithMd5Hash,
     "SeriesInstanceUID"},
    {"getSingleImage", kAll, "GET", kImages, Rejection::kUnauthorized, GetSingleImage,
     "SeriesInstanceUID, SOPInstanceUID"},
    {"getM5HashForImage", kOld, "GET", kList, Rejection::kEmptyList, GetMd5HashForImage, ""},
    {"getMD5HashForImage", kV4, "GET", kList, Rejection::kEmptyList, GetMd5HashForImage,
     "SOPInstanceUID"},
    {"getMD5Hierarchy", kUnversioned, "POST", kList, Rejection::kUnauthorized, GetMd5Hierarchy, ""},
    {"getMD5Hierarchy", kV4, "POST", kList, Rejection::kNoTokenWanted, GetMd5Hierarchy,
     "SeriesInstanceUID, StudyInstanceUID, PatientID, Collection"},
    {"getStudyDrillDownWithSeriesIds", kUnversioned, "POST", kList, Rejection::kUnauthorized,
     GetStudyDrillDownWithSeriesIds, "", true},
    // As published their SQL cannot be parsed.
    {"getStudyDrillDownWithSeriesIds", kV4, "POST", kList, Rejection::kNoTokenWanted,
     [](const Call&) { return NullPointerReply(); }, "list", true},
    {"getStudyDrillDown", kV4, "POST", kList, Rejection::kNoTokenWanted,
     [](const Call&) { return NullPointerReply(); }, "list", true},
    {"getSimpleSearch", kV4, "POST", kList, Rejection::kUnauthorized, GetSimpleSearch, "*", true},
    {"getImageDrillDown", kUnversioned, "POST", kList, Rejection::kUnauthorized, GetImageDrillDown,
     "", true},
    {"getImageDrillDown", kV4, "POST", kList, Rejection::kNoTokenWanted, GetImageDrillDown, "list",
     true},
    // These two have no answerer: they are about tokens themselves.
    {"oauth/token", kUnversioned, "POST", EndpointKind::kTokens, Rejection::kNoTokenWanted, nullptr,
     ""},
    {"logout", kUnversioned, "", EndpointKind::kTokens, Rejection::kNoTokenWanted, nullptr, ""},
}};

struct FamilyPrefix {
  std::string_view prefix;
  Family family;
};
constexpr std::array<FamilyPrefix, 4> kFamilies = {
    {{"v1/", Family::kV1}, {"v2/", Family::kV2}, {"v4/", Family::kV4}, {"", Family::kUnversioned}}};

FamilyPrefix FamilyOf(std::string_view path) {
  return *std::find_if(kFamilies.begin(), kFamilies.end(),
                       [&](const FamilyPrefix& family) { return path.starts_with(family.prefix); });
}

// "v4/getSeries", whatever stands before it; "" if it is no path of the service.
std::string_view ServicePath(std::string_view path) {
  if (path.starts_with(kServices)) return path.substr(kServices.size());
  if (path == "/nbia-api/oauth/token" || path == "/nbia-api/logout")
    return path.substr(kApplication.size() + 1);
  return {};
}

// v4 refuses what it does not know, case and all.
std::optional<Reply> RefuseUnknownParameters(const Endpoint& endpoint, const Request& request) {
  if (endpoint.parameters == "*") return std::nullopt;
  const auto allowed = [&](const std::string& name) {
    for (const std::string_view known : SplitText(endpoint.parameters, ','))
      if (TrimBlanks(known) == name) return true;
    return false;
  };
  for (const auto* fields : {&request.query, &request.form})
    for (const auto& [name, value] : *fields)
      if (!allowed(name))
        return UnknownParameterReply(fields == &request.form, name, endpoint.parameters);
  return std::nullopt;
}

}  // namespace

Service::Service(std::unique_ptr<Holdings> holdings, ServiceOptions options,
                 TokenOptions token_options, const Clock& clock)
    : holdings_(std::move(holdings)),
      options_(std::move(options)),
      tokens_(std::move(token_options), clock) {}

const Endpoint* Service::Find(const std::string& path) const {
  const std::string_view service_path = ServicePath(path);
  if (service_path.empty()) return nullptr;
  const FamilyPrefix family = FamilyOf(service_path);
  const auto bit = static_cast<unsigned>(family.family);
  if (family.family != Family::kUnversioned && (options_.families & bit) == 0) return nullptr;
  const std::string_view name = service_path.substr(family.prefix.size());
  const auto found = std::find_if(kEndpoints.begin(), kEndpoints.end(), [&](const Endpoint& e) {
    return e.name == name && (e.families & bit) != 0 && (options_.drill_down || !e.drill_down);
  });
  return found == kEndpoints.end() ? nullptr : &*found;
}

Reply Service::Unknown(const std::string& path) const {
  return path.starts_with(kServices) ? NoSuchPathReply() : HtmlErrorReply(404);
}

Reply Service::Handle(const Request& request) {
  if (request.path.starts_with(kControlPrefix))
    return HandleControl(request, {*holdings_, plan_, counters_});
  const Endpoint* endpoint = Find(request.path);
  const std::string name = endpoint == nullptr ? "unknown" : std::string(ServicePath(request.path));
  const auto ticket =
      counters_.Begin(name, endpoint == nullptr ? EndpointKind::kUnknown : endpoint->kind);
  Faults faults = plan_.Match(name, request);
  if (faults.expire_tokens) tokens_.ExpireAll();
  Reply reply;
  if (faults.reply)
    reply = std::move(*faults.reply);
  else if (endpoint == nullptr)
    reply = Unknown(request.path);
  else
    reply = Answer(*endpoint, request, faults);
  reply.delivery = faults.delivery;
  reply.on_sent = [ticket](int64_t bytes) { ticket->AddBytes(bytes); };
  reply.lease = ticket;
  return reply;
}

Reply Service::Answer(const Endpoint& endpoint, const Request& request, const Faults& faults) {
  const bool reads = request.method == "HEAD" && endpoint.method == "GET";
  if (!endpoint.method.empty() && request.method != endpoint.method && !reads)
    return WrongMethodReply();
  if (endpoint.kind == EndpointKind::kTokens)
    return endpoint.name == "logout" ? tokens_.Logout(request) : tokens_.Grant(request);
  const Family family = FamilyOf(ServicePath(request.path)).family;
  if (family == Family::kV1 && !options_.api_key.empty() && request.api_key != options_.api_key)
    return UnauthorizedReply();
  if (family == Family::kV4 && endpoint.drill_down && options_.v4_drill_down_broken)
    return NullPointerReply();
  if (family == Family::kV4)
    if (auto refusal = RefuseUnknownParameters(endpoint, request)) return std::move(*refusal);
  Viewer viewer = kGuest;
  if (auto refusal = Admit(endpoint, request, viewer)) return std::move(*refusal);
  const uint64_t order = options_.shuffle ? ++requests_ : 0;
  const auto answer = [&] {
    return endpoint.answer({request, family, *holdings_, options_, faults.zip, viewer, order});
  };
  return options_.keep_replies ? kept_replies_.Answer(request, viewer, answer) : answer();
}

std::optional<Reply> Service::Admit(const Endpoint& endpoint, const Request& request,
                                    Viewer& viewer) {
  const Family family = FamilyOf(ServicePath(request.path)).family;
  if (family == Family::kV1 || endpoint.rejection == Rejection::kNoTokenWanted) return std::nullopt;
  const Identity identity = tokens_.Identify(request.authorization);
  viewer = identity.viewer;
  switch (identity.kind) {
    case Identity::Kind::kKnown:
      return std::nullopt;
    case Identity::Kind::kAbsent:
      if (family == Family::kV4) return std::nullopt;
      return NullPointerReply();
    case Identity::Kind::kMalformed:
      return ServerErrorReply("String index out of range: 7");
    case Identity::Kind::kRejected:
      break;
  }
  if (endpoint.rejection == Rejection::kUnauthorized) return UnauthorizedReply();
  if (endpoint.rejection == Rejection::kServerError) return NullPointerReply();
  return Reply{};
}

}  // namespace tciafs::archive
