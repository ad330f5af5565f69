// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The calls of the NBIA REST API as requests: paths per family, the spelling of each parameter (v4
// refuses what it does not know, v1 and v2 silently ignore it and return everything), and who is
// asking. Sources: the NBIA server's own code (restAPI/*.java), TCIA's API guides v1 and v2.
//
// Immutable, hence thread-safe. Requests are complete but for the token itself, which ApiClient
// adds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "nbia/answers.h"
#include "tciafs/http/transport.h"
#include "tciafs/nbia/nbia_source.h"
#include "tciafs/source/records.h"

namespace tciafs::nbia {

enum class Authorization {
  kNone,
  kGuest,  // "Bearer undefined": how the portal's own calls name the guest
  kToken,
};

struct ApiCall {
  http::Request request;
  Question question;
  Authorization authorization = Authorization::kNone;
  int64_t later_silence_ms = 0;
};

// How a series is asked for as a zip.
enum class ZipForm {
  kHashes,   // with MD5 sums; one image without a sum in the database spoils the whole answer
  kPlain,    // without; in v4 still spoilt by an image without a sum
  kRenamed,  // v4 only: other entry names, and not spoilt
};

struct SearchCriterion {
  std::string type;  // "SeriesCriteria", "PatientCriteria", "CollectionCriteria"
  std::string value;
};

// For what a token is given: a refresh token, or without one the password.
struct TokenGrant {
  Login::State refresh;
};

const char* FamilyName(ApiFamily family);  // "v4"; "auto"

class Endpoints {
 public:
  explicit Endpoints(const NbiaOptions& options);

  const std::string& root_url() const { return root_url_; }  // without user info or trailing slash
  const std::string& host() const { return host_; }
  bool anonymous() const { return anonymous_; }
  // Who asks, as far as it decides what is shown: "guest" or the user name, then digests of the API
  // key and of the URL's own user, if any. Never a secret.
  const std::string& account() const { return account_; }

  ApiCall Collections(ApiFamily family) const;
  ApiCall Patients(ApiFamily family, const source::CollectionId& collection) const;
  ApiCall PatientSeries(ApiFamily family, const source::CollectionId& collection,
                        const source::PatientId& patient) const;
  ApiCall CollectionSeries(ApiFamily family, const source::CollectionId& collection) const;
  ApiCall SopInstanceUids(ApiFamily family, const source::SeriesUid& series) const;

  ApiCall SeriesZip(ApiFamily family, const source::SeriesUid& series, ZipForm form) const;
  ApiCall SingleImage(ApiFamily family, const source::SeriesUid& series,
                      const source::SopUid& sop) const;
  ApiCall ImageMd5(ApiFamily family, const source::SopUid& sop) const;
  ApiCall SeriesMd5(ApiFamily family, const source::SeriesUid& series) const;

  ApiCall StudyDrillDown(ApiFamily family, std::string form_body) const;
  ApiCall PatientSearch(ApiFamily family, const SearchCriterion& criterion) const;
  ApiCall ImageDrillDown(ApiFamily family, bool unversioned, std::string form_body) const;

  // Two paths are known for each.
  static constexpr size_t kTokenPaths = 2;
  ApiCall Token(size_t path, const TokenGrant& grant) const;
  ApiCall Logout(size_t path, const Login::State& login) const;
  const std::shared_ptr<Login>& login() const { return credentials_.login; }

 private:
  using Parameters = std::vector<std::pair<const char*, std::string>>;
  ApiCall Get(ApiFamily family, const std::string& name, const Parameters& parameters) const;
  ApiCall Post(const std::string& endpoint, std::string form_body) const;
  Authorization VersionedAuthorization(ApiFamily family) const;
  Authorization UnversionedAuthorization(ApiFamily family) const;

  std::string request_root_;
  std::string root_url_;
  std::string host_;
  bool anonymous_ = true;
  std::string account_;
  Credentials credentials_;
  std::string api_key_;
  int64_t io_timeout_ms_ = 0;
  int64_t bulk_silence_ms_ = 0;
};

}  // namespace tciafs::nbia
