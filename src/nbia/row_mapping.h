// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// From the text of one JSON row to the house's records. The API families spell the same thing
// differently, write numbers as numbers or as text, and dates in two forms; here everything gets
// one name (that of the DICOM attribute, or of API v4 where there is none) and one form (ISO 8601
// dates, plain integers). Unknown keys are kept as they came.
//
// Pure functions. Errors: kUnavailable (not a JSON object).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tciafs/source/records.h"
#include "tciafs/util/result.h"

namespace tciafs::nbia {

// The members of one row, canonical names and values, in the server's order.
Result<source::Attributes> ParseRow(std::string_view row);

// "" if absent.
std::string_view ValueOf(const source::Attributes& attributes, std::string_view name);

// "2003-12-12 00:00:00.0", "12-12-2003", ISO: to "2003-12-12" or "2003-12-12T17:12:21"; anything
// else unchanged.
std::string IsoDate(std::string_view text);
// "27844690", "27844690.000000"; nullopt if it is no non-negative whole number.
std::optional<int64_t> WholeNumber(std::string_view text);
// A whole number from 0 to `max`; -1 (unknown) for anything else.
int64_t NumberUpTo(std::string_view text, int64_t max);
// Seconds since 1970 of an ISO date or date and time, taken for UTC; 0 if it is none.
int64_t UnixSeconds(std::string_view iso);

// A record, or nullopt when the row lacks what names it or is not of the collection (or patient)
// asked for: some servers ignore filters, and all of them ignore case.
std::optional<source::CollectionRecord> ToCollection(const source::Attributes& row);
std::optional<source::PatientRecord> ToPatient(source::Attributes row,
                                               const source::CollectionId& collection);
// An empty patient: any.
std::optional<source::SeriesRecord> ToSeries(source::Attributes row,
                                             const source::CollectionId& collection,
                                             const source::PatientId& patient);
// A SOPInstanceUID as it may stand in a name: not empty, at most 64 printable characters.
bool IsUid(std::string_view text);

}  // namespace tciafs::nbia
