// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// An NBIA server (The Cancer Imaging Archive runs two) as a source::Source: REST families v1, v2,
// v4, the drill-down calls for image sizes, and OAuth tokens. Every peculiarity of that API is
// absorbed in src/nbia and nowhere else. Thread-safe; the references are borrowed and outlive the
// source. Attributes of records bear the names of API v4 (PatientID, MaxSubmissionTimestamp,
// DataDescriptionURI, ...), but StudyDescription for StudyDesc, whatever the family answered; dates
// are ISO 8601. The destructor waits for tasks on the executor: do not run it there. Source: the
// NBIA server's own code (CBIIT/NBIA-TCIA on GitHub) and TCIA's REST API guides.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tciafs/http/transport.h"
#include "tciafs/source/source.h"
#include "tciafs/util/clock.h"
#include "tciafs/util/executor.h"

namespace tciafs::nbia {

enum class ApiFamily { kAuto, kV4, kV2, kV1 };

// A login that lasts: a refresh token (RFC 6749 section 6), which each use may replace by another.
// Kept by the caller, perhaps for several processes at once. Implementations are thread-safe.
class Login {
 public:
  struct State {
    std::string refresh_token;  // "": there is none, or it was forgotten
    std::string client_id;      // for which it was given; "" if that is not known
  };
  virtual ~Login() = default;
  // As it is now, whoever renewed it.
  virtual State Load() = 0;
  virtual void Save(const State& used, const State& renewed) = 0;
};

struct Credentials {
  std::string username = "nbia_guest";
  std::string password;
  std::shared_ptr<Login> login = nullptr;  // if set, in place of the password
};

// What was found out about a server and is worth remembering across mounts. Opaque text per key;
// kept by the caller (the composition root) wherever it likes.
class ServerMemory {
 public:
  virtual ~ServerMemory() = default;
  virtual std::string Load(const std::string& key) = 0;  // "" if unknown
  virtual void Save(const std::string& key, const std::string& value) = 0;
};

struct NbiaOptions {
  std::string root_url;  // "https://host/nbia-api", no trailing slash
  ApiFamily api = ApiFamily::kAuto;
  Credentials credentials;         // for v2 and the unversioned calls
  std::string api_key;             // sent as the `api_key` header with v1; "" for none
  int64_t io_timeout_ms = 60'000;  // no progress for this long ends a call
  int64_t bulk_silence_ms =
      600'000;  // a bulk listing may be silent this long before its first byte
};

std::unique_ptr<source::Source> CreateNbiaSource(const NbiaOptions& options,
                                                 http::Transport& transport, ServerMemory& memory,
                                                 const Clock& clock, Executor& executor,
                                                 Scheduler& scheduler);

}  // namespace tciafs::nbia
