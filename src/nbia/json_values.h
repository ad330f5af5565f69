// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// JSON values to plain structures: the only file of the layer that speaks nlohmann/json, always
// without exceptions. Text that is no UTF-8 is taken for Latin-1 (RepairUtf8). Numbers may be
// written as numbers or as text. Sources: the DTO classes of the NBIA server (StudyDTO, SeriesDTO,
// PatientSearchResult, ImageDTO); RFC 6749 section 5.1 and
// RFC 7519 for the token.
//
// Pure functions. Errors: kUnavailable (not a JSON object, or one that is too wide).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/source/records.h"
#include "tciafs/util/result.h"

namespace tciafs::nbia {

// The members of a flat row, in its order, nulls left out; a nested value as its JSON text.
Result<source::Attributes> ParseAttributes(std::string_view row);

// Drill-down: where a series stands in the server's database.
struct SeriesKey {
  std::string series_uid;
  std::string key;  // decimal digits: the series' primary key in the server's database
  int64_t image_count = -1;
};
// One study row of getStudyDrillDownWithSeriesIds.
Result<std::vector<SeriesKey>> ParseStudyRow(std::string_view row);

struct PatientSearchRow {
  std::string collection;
  std::string patient;
  std::vector<std::string> series_keys;
};
// One row of getSimpleSearch's resultSet.
Result<PatientSearchRow> ParsePatientSearchRow(std::string_view row);

struct ImageRow {
  std::string series_uid;
  source::InstanceRecord instance;
};
// One row of getImageDrillDown; nullopt if it does not name an instance.
Result<std::optional<ImageRow>> ParseImageRow(std::string_view row);

struct TokenAnswer {
  std::string access_token;
  std::optional<int64_t> expires_in_s;
  std::string refresh_token;  // "" if none was given
  std::optional<int64_t> refresh_expires_in_s;
  std::string client_id;  // to whom it was given, where the token tells (RFC 9068)
};
Result<TokenAnswer> ParseTokenAnswer(std::string_view body);

}  // namespace tciafs::nbia
