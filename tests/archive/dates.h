// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The archive's many spellings of a date. Pure functions over the proleptic Gregorian calendar, no
// time zones. Sources: the answers of NBIA's list endpoints (java.sql values in v1 and v2,
// MM-dd-yyyy in v4) and the parameters of its change feeds.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace tciafs::archive {

using Day = std::chrono::sys_days;
using Second = std::chrono::sys_seconds;

std::string SqlTimestamp(Second when);  // 2015-05-27 17:12:21.0
std::string AmericanDay(Second when);   // 05-27-2015
std::string DicomDay(Day day);          // 20150527

enum class DayForm {
  kDicom,
  kYearFirst,
  kDayFirst,
  kMonthFirst
};  // the last three as asked for:
    // 2015/05/27, 27/05/2015, 05-27-2015
std::optional<Day> ParseDay(std::string_view text, DayForm form);

}  // namespace tciafs::archive
