// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/endpoints.h"

#include <algorithm>

#include "tciafs/util/hash.h"
#include "tciafs/util/text.h"

namespace tciafs::nbia {
namespace {

constexpr const char* kGuestName = "nbia_guest";
constexpr const char* kGuestAccount = "guest";
constexpr size_t kDigestDigits = 16;

std::string WithoutTrailingSlashes(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

// Where the host begins and ends in "scheme://user:password@host:port/path".
std::pair<size_t, size_t> HostSpan(const std::string& url) {
  const auto scheme = url.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t end = std::min(url.find_first_of("/?#", begin), url.size());
  const auto at = url.rfind('@', end);
  return {at != std::string::npos && at >= begin && at < end ? at + 1 : begin, end};
}

// The name alone of "user:password@", as it is written; "" if there is none.
std::string UserOf(const std::string& url) {
  const auto scheme = url.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const size_t host = HostSpan(url).first;
  if (host == begin) return "";
  const std::string info = url.substr(begin, host - 1 - begin);
  return info.substr(0, info.find(':'));
}

std::string Digest(const std::string& text) {
  Md5 md5;
  md5.Update(AsBytes(text));
  return md5.FinishHex().substr(0, kDigestDigits);
}

// An encoded name holds no '+', so that no name reads like another account with a digest.
std::string AccountText(const NbiaOptions& options, bool anonymous) {
  std::string account = anonymous ? kGuestAccount : UrlEncode(options.credentials.username);
  if (!anonymous && account == kGuestAccount) account += "+named";
  if (!options.api_key.empty()) account += "+key:" + Digest(options.api_key);
  const std::string url_user = UserOf(options.root_url);
  if (!url_user.empty()) account += "+url:" + Digest(url_user);
  return account;
}

std::string WithoutUserInfo(const std::string& url) {
  const auto scheme = url.find("://");
  const size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  return url.substr(0, begin) + url.substr(HostSpan(url).first);
}

template <typename Parameters>
std::string Encoded(const Parameters& parameters) {
  std::string text;
  for (const auto& [name, value] : parameters) {
    if (!text.empty()) text += '&';
    text += name;
    text += '=';
    text += UrlEncode(value);
  }
  return text;
}

}  // namespace

const char* FamilyName(ApiFamily family) {
  switch (family) {
    case ApiFamily::kAuto:
      return "auto";
    case ApiFamily::kV4:
      return "v4";
    case ApiFamily::kV2:
      return "v2";
    case ApiFamily::kV1:
      return "v1";
  }
  return "auto";
}

Endpoints::Endpoints(const NbiaOptions& options)
    : request_root_(WithoutTrailingSlashes(options.root_url)),
      root_url_(WithoutUserInfo(request_root_)),
      anonymous_(options.credentials.username.empty() ||
                 options.credentials.username == kGuestName),
      account_(AccountText(options, anonymous_)),
      credentials_(options.credentials),
      api_key_(options.api_key),
      io_timeout_ms_(options.io_timeout_ms),
      bulk_silence_ms_(std::max(options.bulk_silence_ms, options.io_timeout_ms)) {
  const auto [begin, end] = HostSpan(request_root_);
  host_ = request_root_.substr(begin, end - begin);
  if (credentials_.username.empty()) credentials_.username = kGuestName;
}

ApiCall Endpoints::Collections(ApiFamily family) const {
  return Get(family, "getCollectionValues", {});
}

ApiCall Endpoints::Patients(ApiFamily family, const source::CollectionId& collection) const {
  return Get(family, "getPatient", {{"Collection", collection.text()}});
}

ApiCall Endpoints::PatientSeries(ApiFamily family, const source::CollectionId& collection,
                                 const source::PatientId& patient) const {
  return Get(family, "getSeries",
             {{"Collection", collection.text()}, {"PatientID", patient.text()}});
}

// The server builds the whole answer in memory before its first byte, then sends it in one burst.
ApiCall Endpoints::CollectionSeries(ApiFamily family,
                                    const source::CollectionId& collection) const {
  ApiCall call = Get(family, "getSeries", {{"Collection", collection.text()}});
  call.request.stall_timeout_ms = bulk_silence_ms_;
  call.later_silence_ms = io_timeout_ms_;
  return call;
}

ApiCall Endpoints::SopInstanceUids(ApiFamily family, const source::SeriesUid& series) const {
  return Get(family, "getSOPInstanceUIDs", {{"SeriesInstanceUID", series.text()}});
}

ApiCall Endpoints::SeriesZip(ApiFamily family, const source::SeriesUid& series,
                             ZipForm form) const {
  Parameters parameters = {{"SeriesInstanceUID", series.text()}};
  std::string name = "getImage";
  if (family == ApiFamily::kV4) {
    if (form == ZipForm::kHashes) parameters.emplace_back("IncludeMD5", "Yes");
    if (form == ZipForm::kRenamed) parameters.emplace_back("NewFileNames", "Yes");
  } else if (form == ZipForm::kHashes) {
    name = "getImageWithMD5Hash";
  }
  ApiCall call = Get(family, name, parameters);
  call.question.kind = Question::Kind::kSeriesImages;
  call.request.lane = http::Lane::kDownload;
  call.request.retry.retry_status_500 = false;  // also what a missing call answers
  return call;
}

ApiCall Endpoints::SingleImage(ApiFamily family, const source::SeriesUid& series,
                               const source::SopUid& sop) const {
  ApiCall call = Get(family, "getSingleImage",
                     {{"SeriesInstanceUID", series.text()}, {"SOPInstanceUID", sop.text()}});
  call.question.kind = Question::Kind::kSingleImage;
  call.request.lane = http::Lane::kDownload;
  call.request.retry.retry_status_500 = false;
  return call;
}

ApiCall Endpoints::ImageMd5(ApiFamily family, const source::SopUid& sop) const {
  ApiCall call = family == ApiFamily::kV4
                     ? Get(family, "getMD5HashForImage", {{"SOPInstanceUID", sop.text()}})
                     : Get(family, "getM5HashForImage", {{"SOPInstanceUid", sop.text()}});
  call.request.retry.retry_status_500 = false;
  return call;
}

ApiCall Endpoints::SeriesMd5(ApiFamily family, const source::SeriesUid& series) const {
  const bool versioned = family == ApiFamily::kV4;
  ApiCall call = Post(versioned ? "v4/getMD5Hierarchy" : "getMD5Hierarchy",
                      Encoded(Parameters{{"SeriesInstanceUID", series.text()}}));
  call.authorization =
      versioned ? VersionedAuthorization(family) : UnversionedAuthorization(family);
  return call;
}

ApiCall Endpoints::StudyDrillDown(ApiFamily family, std::string form_body) const {
  ApiCall call = Post("getStudyDrillDownWithSeriesIds", std::move(form_body));
  call.authorization = UnversionedAuthorization(family);
  return call;
}

ApiCall Endpoints::PatientSearch(ApiFamily family, const SearchCriterion& criterion) const {
  const Parameters form = {{"criteriaType0", criterion.type},
                           {"value0", criterion.value},
                           {"sortField", "subject"},
                           {"sortDirection", "ascending"},
                           {"start", "0"},
                           {"size", "100000"}};
  ApiCall call = Post("v4/getSimpleSearch", Encoded(form));
  if (family != ApiFamily::kV1) call.authorization = VersionedAuthorization(ApiFamily::kV4);
  return call;
}

ApiCall Endpoints::ImageDrillDown(ApiFamily family, bool unversioned, std::string form_body) const {
  ApiCall call =
      Post(unversioned ? "getImageDrillDown" : "v4/getImageDrillDown", std::move(form_body));
  call.authorization = unversioned                ? UnversionedAuthorization(family)
                       : family == ApiFamily::kV1 ? Authorization::kNone
                                                  : VersionedAuthorization(ApiFamily::kV4);
  return call;
}

ApiCall Endpoints::Token(size_t path, const TokenGrant& grant) const {
  Parameters form = {{"username", credentials_.username}};
  if (grant.refresh.refresh_token.empty()) {
    form.insert(form.end(), {{"password", credentials_.password},
                             {"client_id", "NBIA"},  // the server puts its own in the place
                             {"grant_type", "password"}});
  } else {
    form.insert(form.end(), {{"refresh_token", grant.refresh.refresh_token},
                             {"client_id", grant.refresh.client_id},
                             {"grant_type", "refresh_token"}});
  }
  ApiCall call = Post("oauth/token", Encoded(form));
  if (path == 0) call.request.url = request_root_ + "/oauth/token";
  call.question.kind = Question::Kind::kToken;
  return call;
}

ApiCall Endpoints::Logout(size_t path, const Login::State& login) const {
  const Parameters form = {{"refresh_token", login.refresh_token}, {"client_id", login.client_id}};
  ApiCall call = Post("logout", Encoded(form));
  if (path == 1) {
    call.request.url = request_root_ + "/logout";
    call.request.method = "GET";
    call.request.body.clear();
  }
  call.question.kind = Question::Kind::kToken;
  return call;
}

ApiCall Endpoints::Get(ApiFamily family, const std::string& name,
                       const Parameters& parameters) const {
  ApiCall call;
  const std::string endpoint = std::string(FamilyName(family)) + '/' + name;
  call.question = {host_, endpoint, Question::Kind::kList};
  call.request.url = request_root_ + "/services/" + endpoint;
  if (!parameters.empty()) call.request.url += '?' + Encoded(parameters);
  call.request.headers = {{"Accept", "*/*"}};  // anything narrower can end in a 500
  if (family == ApiFamily::kV1 && !api_key_.empty())
    call.request.headers.emplace_back("api_key", api_key_);
  call.request.stall_timeout_ms = io_timeout_ms_;
  call.request.retry.window_ms = io_timeout_ms_;  // being put off is no progress
  call.authorization = VersionedAuthorization(family);
  return call;
}

ApiCall Endpoints::Post(const std::string& endpoint, std::string form_body) const {
  ApiCall call;
  call.question = {host_, endpoint, Question::Kind::kList};
  call.request.method = "POST";
  call.request.url = request_root_ + "/services/" + endpoint;
  call.request.headers = {{"Accept", "*/*"}, {"Content-Type", "application/x-www-form-urlencoded"}};
  call.request.body = std::move(form_body);
  call.request.stall_timeout_ms = io_timeout_ms_;
  call.request.retry.window_ms = io_timeout_ms_;  // being put off is no progress
  call.request.retry.retry_status_500 = false;    // a 500 here is an answer: missing, or a bad key
  return call;
}

Authorization Endpoints::VersionedAuthorization(ApiFamily family) const {
  if (family == ApiFamily::kV1) return Authorization::kNone;
  if (family == ApiFamily::kV4 && anonymous_) return Authorization::kNone;
  return Authorization::kToken;
}

Authorization Endpoints::UnversionedAuthorization(ApiFamily family) const {
  return family == ApiFamily::kV2 || !anonymous_ ? Authorization::kToken : Authorization::kGuest;
}

}  // namespace tciafs::nbia
