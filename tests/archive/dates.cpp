// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "dates.h"

#include <fmt/core.h>

#include <charconv>

namespace tciafs::archive {
namespace {

struct Fields {
  int year;
  unsigned month, day;
};

Fields Split(Day day) {
  const std::chrono::year_month_day date(day);
  return {static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day())};
}

std::optional<unsigned> Number(std::string_view digits) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

struct Layout {
  size_t year, month, day, size;
  char separator;
};

Layout LayoutOf(DayForm form) {
  switch (form) {
    case DayForm::kDicom:
      return {0, 4, 6, 8, '\0'};
    case DayForm::kYearFirst:
      return {0, 5, 8, 10, '/'};
    case DayForm::kDayFirst:
      return {6, 3, 0, 10, '/'};
    case DayForm::kMonthFirst:
      return {6, 0, 3, 10, '-'};
  }
  return {0, 4, 6, 8, '\0'};
}

}  // namespace

std::string SqlTimestamp(Second when) {
  const Day day = std::chrono::floor<std::chrono::days>(when);
  const Fields date = Split(day);
  const auto seconds = (when - day).count();
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.0", date.year, date.month, date.day,
                     seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::string AmericanDay(Second when) {
  const Fields date = Split(std::chrono::floor<std::chrono::days>(when));
  return fmt::format("{:02}-{:02}-{:04}", date.month, date.day, date.year);
}

std::string DicomDay(Day day) {
  const Fields date = Split(day);
  return fmt::format("{:04}{:02}{:02}", date.year, date.month, date.day);
}

std::optional<Day> ParseDay(std::string_view text, DayForm form) {
  const Layout layout = LayoutOf(form);
  if (text.size() != layout.size) return std::nullopt;
  if (layout.separator != '\0') {
    const size_t first = layout.year == 0 ? 4 : 2;
    const size_t second = layout.year == 0 ? 7 : 5;
    if (text[first] != layout.separator || text[second] != layout.separator) return std::nullopt;
  }
  const auto year = Number(text.substr(layout.year, 4));
  const auto month = Number(text.substr(layout.month, 2));
  const auto day = Number(text.substr(layout.day, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(*month), std::chrono::day(*day));
  if (!date.ok()) return std::nullopt;
  return Day(date);
}

}  // namespace tciafs::archive
