// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The JSON of the archive's answers, beside a whole-text parser: a list that one accepts is cut
// into the same rows, however it arrives and within the limits; each kind of row reads to values
// that are what the layer promises.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fuzz/fuzz.h"
#include "nbia/answers.h"
#include "nbia/json_rows.h"
#include "nbia/json_values.h"
#include "nbia/md5_list.h"
#include "nbia/plain_row.h"
#include "nbia/row_mapping.h"

namespace tciafs::nbia {
namespace {

using Json = nlohmann::json;

constexpr RowLimits kLimits = {
    .row_bytes_max = 1000, .depth_max = 8, .rows_max = 50, .body_bytes_max = 20'000};

struct Cut {
  std::vector<std::string> rows;
  bool whole = false;
};

Cut CutRows(const std::string& key, const std::vector<std::string_view>& pieces) {
  Cut cut;
  RowCutter cutter(key, kLimits, [&cut](std::string_view row) -> Status {
    FUZZ_REQUIRE(row.size() <= kLimits.row_bytes_max);
    FUZZ_REQUIRE(row.starts_with('{'));
    cut.rows.emplace_back(row);
    FUZZ_REQUIRE(cut.rows.size() <= kLimits.rows_max);
    return {};
  });
  Status status;
  for (const std::string_view piece : pieces)
    if (status = cutter.Push(piece); !status) break;
  const Status finished = cutter.Finish();
  FUZZ_REQUIRE(status || !finished);
  FUZZ_REQUIRE(cutter.rows() == cut.rows.size());
  if (!finished) FUZZ_REQUIRE(finished.error().code == Errc::kUnavailable);
  cut.whole = finished.has_value();
  return cut;
}

bool FitsLimits(const Json& rows, const std::string& body) {
  if (rows.size() > kLimits.rows_max || body.size() > kLimits.row_bytes_max) return false;
  for (const char bracket : {'{', '['})
    if (std::count(body.begin(), body.end(), bracket) >= 7) return false;  // may be too deep
  return std::all_of(rows.begin(), rows.end(), [](const Json& row) { return row.is_object(); });
}

void CheckCutting(const std::string& body, const std::string& key) {
  const Cut whole = CutRows(key, {body});
  const Cut single = CutRows(key, fuzz::SinglePieces(body));
  const Cut mixed = CutRows(key, fuzz::Pieces(body, fuzz::SeedOf(body)));
  FUZZ_REQUIRE(single.rows == mixed.rows && single.whole == mixed.whole);
  // The limit on the body is noticed piece by piece.
  FUZZ_REQUIRE(single.whole == whole.whole);
  if (whole.whole) FUZZ_REQUIRE(single.rows == whole.rows);

  const Json value = Json::parse(body, nullptr, false);
  if (value.is_discarded() || body.find('\0') != body.npos) return;  // it takes a NUL for the end
  if (key.empty() ? !value.is_array() : !value.is_object()) {
    FUZZ_REQUIRE(!whole.whole);
    return;
  }
  const Json none = Json::array();
  const bool has_rows = key.empty() || (value.contains(key) && value[key].is_array());
  const Json& rows = key.empty() ? value : has_rows ? value[key] : none;
  // Of a key that comes twice, or is not spelled plainly, the two may take different ones.
  const size_t key_at = body.find('"' + key + '"');
  const bool is_plain =
      key.empty() ||
      (body.find('\\') == body.npos &&
       (key_at == body.npos || body.find(key, key_at + 2 + key.size()) == body.npos));
  if (!is_plain || !FitsLimits(rows, body)) return;
  FUZZ_REQUIRE(whole.whole);
  FUZZ_REQUIRE(whole.rows.size() == rows.size());
  for (size_t i = 0; i < rows.size(); ++i) FUZZ_REQUIRE(Json::parse(whole.rows[i]) == rows[i]);
}

bool IsOneShortLine(const std::string& text, size_t bytes_max) {
  return text.size() <= bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

void CheckRow(const std::string& row) {
  if (const auto attributes = ParseRow(row)) {
    FUZZ_REQUIRE(attributes->size() <= 512);
    for (const auto& attribute : *attributes)
      FUZZ_REQUIRE(RepairUtf8(attribute.name) == attribute.name &&
                   RepairUtf8(attribute.value) == attribute.value);
    if (const auto patient = ToPatient(*attributes, source::CollectionId("C")))
      FUZZ_REQUIRE(!patient->patient.empty() && patient->patient.text().size() <= 500);
    if (const auto series =
            ToSeries(*attributes, source::CollectionId("C"), source::PatientId("P"))) {
      FUZZ_REQUIRE(series->patient.text() == "P" && series->collection.text() == "C");
      FUZZ_REQUIRE(!series->series.empty() && !series->study.empty());
      FUZZ_REQUIRE(series->version.image_count >= -1 && series->version.total_bytes >= -1);
    }
  }
  const Json value = Json::parse(row, nullptr, false);
  if (ParsePlainRow(row)) FUZZ_REQUIRE(value.is_object());
  if (value.is_object() && value.size() < 500) {
    const auto attributes = ParseAttributes(row);
    FUZZ_REQUIRE(attributes);
    for (const auto& attribute : *attributes) FUZZ_REQUIRE(value.contains(attribute.name));
    for (const auto& [name, member] : value.items()) {
      if (!member.is_string() || member.get<std::string>().empty()) continue;
      const source::Attribute wanted{name, member.get<std::string>()};
      FUZZ_REQUIRE(std::any_of(attributes->begin(), attributes->end(), [&](const auto& a) {
        return a.name == wanted.name && a.value == wanted.value;
      }));
    }
  }
  if (const auto keys = ParseStudyRow(row))
    for (const auto& key : *keys)
      FUZZ_REQUIRE(WholeNumber(key.key) && !key.series_uid.empty() && key.image_count >= -1);
  if (const auto patient = ParsePatientSearchRow(row))
    for (const auto& key : patient->series_keys) FUZZ_REQUIRE(WholeNumber(key));
  if (const auto image = ParseImageRow(row); image && *image)
    FUZZ_REQUIRE(IsUid((*image)->instance.sop.text()) && (*image)->instance.size_bytes >= -1);
  if (const auto token = ParseTokenAnswer(row)) FUZZ_REQUIRE(token->expires_in_s.value_or(0) >= 0);
}

void CheckTexts(const std::string& text) {
  const std::string date = IsoDate(text);
  FUZZ_REQUIRE(IsoDate(date) == date);
  const int64_t seconds = UnixSeconds(date);
  FUZZ_REQUIRE(seconds > -63'000'000'000 && seconds < 254'000'000'000);
  if (const auto number = WholeNumber(text))
    FUZZ_REQUIRE(WholeNumber(std::to_string(*number)) == number);
  const std::string utf8 = RepairUtf8(text);
  FUZZ_REQUIRE(RepairUtf8(utf8) == utf8 && utf8.size() <= 2 * text.size());
  FUZZ_REQUIRE(!Json(utf8).dump().empty());  // throws on anything but UTF-8
  const std::string quoted = QuoteBody(text);
  FUZZ_REQUIRE(IsOneShortLine(quoted, 80));
  const std::string sum = CanonicalMd5(text);
  FUZZ_REQUIRE(sum.empty() || (sum.size() == 32 && CanonicalMd5(sum) == sum));
  Md5List list;
  for (const auto piece : fuzz::Pieces(text, fuzz::SeedOf(text))) FUZZ_REQUIRE(list.Append(piece));
  for (const auto& [name, md5] : list.Parse()) FUZZ_REQUIRE(CanonicalMd5(md5) == md5);
}

// A refusal says why in one line, and repeats nothing where the body may hold a secret.
void CheckRefusals(const std::string& body) {
  using Kind = Question::Kind;
  for (const Kind kind : {Kind::kList, Kind::kSeriesImages, Kind::kSingleImage, Kind::kToken}) {
    const Question question = {"archive.example", "v4/getSeries", kind};
    for (const int status : {100, 302, 400, 401, 403, 404, 405, 429, 500, 503}) {
      const Refusal refusal = ReadRefusal(question, status, body);
      FUZZ_REQUIRE(refusal.status == status && IsOneShortLine(refusal.error.message, 250));
      const bool is_secret = status == 401 || status == 403 || kind == Kind::kToken;
      const std::string other = ReadRefusal(question, status, "<html>").error.message;
      if (is_secret)
        FUZZ_REQUIRE(refusal.error.message == other ||
                     refusal.error.message + " with a web page" == other);
    }
    FUZZ_REQUIRE(IsOneShortLine(ReadWrongBody(question, "a list", body).message, 250));
  }
}

}  // namespace
}  // namespace tciafs::nbia

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string input(tciafs::fuzz::TextOf(data, size));
  tciafs::nbia::CheckCutting(input, "");
  tciafs::nbia::CheckCutting(input, "resultSet");
  tciafs::nbia::CheckRow(input);
  tciafs::nbia::CheckTexts(input);
  tciafs::nbia::CheckRefusals(input);
  return 0;
}
