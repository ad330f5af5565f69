// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "series_filter.h"

#include <utility>

namespace tciafs::archive {

bool SeriesFilter::Matches(const Series& row) const {
  const auto same = [&](const OptionalText& wanted, const std::string& value) {
    return !wanted || SameText(*wanted, value, ignore_case);
  };
  const auto same_name = [](const OptionalText& wanted, const std::string& value) {
    return !wanted || SameText(*wanted, value, true);
  };
  return same_name(scope.collection, row.collection) &&
         same_name(scope.patient_id, row.patient_id) &&
         (!scope.study_uid || SameText(*scope.study_uid, row.study_uid, false)) &&
         (!scope.series_uid || SameText(*scope.series_uid, row.series_uid, false)) &&
         same(modality, row.modality) && same(body_part, row.body_part) &&
         same(manufacturer, row.manufacturer) && same(model, row.model) &&
         (!submitted_since || row.submitted >= *submitted_since);
}

SeriesFilter FilterOf(const Call& call) {
  SeriesFilter filter;
  filter.scope.viewer = call.viewer;
  filter.scope.order = call.order;
  filter.scope.collection = call.request.Parameter("Collection");
  filter.ignore_case = call.v4();
  return filter;
}

void Visit(const Holdings& holdings, const SeriesFilter& filter,
           const std::function<bool(const Series&)>& visitor) {
  holdings.VisitSeries(filter.scope,
                       [&](const Series& row) { return !filter.Matches(row) || visitor(row); });
}

Reply ListReply(const Call& call, RowProducer producer, std::string_view default_format) {
  return TableReply(call.request.Parameter("format"), std::move(producer), default_format);
}

void AppendDate(Row& row, std::string_view column, const std::optional<Day>& day, bool v4) {
  if (!day) return row.Null(column);
  row.Text(column, v4 ? AmericanDay(*day) : SqlTimestamp(*day));
}

void AppendTime(Row& row, std::string_view column, Second when, bool v4) {
  row.Text(column, v4 ? AmericanDay(when) : SqlTimestamp(when));
}

void AppendAuthorized(Row& row, bool v4) {
  if (v4) row.Number("Authorized", 1);
}

// Reads a date parameter as that family spells it. False: there is none, or it is no date.
bool ReadSince(const Call& call, const char* name, DayForm old_form, SeriesFilter& filter) {
  const auto text = call.request.Parameter(name);
  if (!text) return false;
  filter.submitted_since = ParseDay(*text, call.v4() ? DayForm::kMonthFirst : old_form);
  return filter.submitted_since.has_value();
}

}  // namespace tciafs::archive
