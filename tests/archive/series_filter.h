// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The WHERE clause of the list endpoints, and the pieces their rows share. Plain functions and
// values; thread-safe as the holdings are.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "call.h"
#include "dates.h"
#include "table.h"

namespace tciafs::archive {

using OptionalText = std::optional<std::string>;

struct SeriesFilter {
  Scope scope;
  OptionalText modality;
  OptionalText body_part;
  OptionalText manufacturer;
  OptionalText model;
  std::optional<Day> submitted_since;
  bool ignore_case = false;  // v4 compares all but the UIDs so

  bool Matches(const Series& row) const;
};

// Who asks, in which order, and the Collection parameter.
SeriesFilter FilterOf(const Call& call);
// Reads a date parameter as that family spells it. False: there is none, or it is no date.
bool ReadSince(const Call& call, const char* name, DayForm old_form, SeriesFilter& filter);

// Visible series that match, until the visitor says false.
void Visit(const Holdings& holdings, const SeriesFilter& filter,
           const std::function<bool(const Series&)>& visitor);

// A table in the format the call asks for.
Reply ListReply(const Call& call, RowProducer producer, std::string_view default_format = "json");

void AppendDate(Row& row, std::string_view column, const std::optional<Day>& day, bool v4);
void AppendTime(Row& row, std::string_view column, Second when, bool v4);
void AppendAuthorized(Row& row, bool v4);  // v4 only

}  // namespace tciafs::archive
