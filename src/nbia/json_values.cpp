// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/json_values.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "nbia/json_rows.h"
#include "nbia/limits.h"
#include "nbia/plain_row.h"
#include "nbia/row_mapping.h"

namespace tciafs::nbia {
namespace {

using Json = nlohmann::json;

std::string Quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Collects the members of the outermost object. A nested value is written out again as text, so
// that even what no version of the API sends today is kept.
class AttributeReader final : public nlohmann::json_sax<Json> {
 public:
  source::Attributes Take() { return std::move(attributes_); }

  bool null() override { return depth_ == 1 ? Drop() : Value("null"); }
  bool boolean(bool value) override { return Value(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return Value(std::to_string(value), true);
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Value(std::to_string(value), true);
  }
  bool number_float(number_float_t, const string_t& text) override {
    // "2.000000" is 2; other fractions stay as they are written.
    const auto point = text.find('.');
    const bool whole =
        point != string_t::npos && text.find_first_not_of('0', point + 1) == string_t::npos;
    return Value(whole ? text.substr(0, point) : text, true);
  }
  bool string(string_t& value) override {
    return depth_ == 1 ? Value(std::move(value)) : Value(Quoted(value));
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return depth_ == 0 ? ++depth_ != 0 : Open('{'); }
  bool end_object() override { return depth_ == 1 ? --depth_ == 0 : Close('}'); }
  bool start_array(std::size_t) override { return depth_ != 0 && Open('['); }
  bool end_array() override { return Close(']'); }
  bool key(string_t& name) override {
    if (depth_ > 1) {
      Separate();
      nested_ += Quoted(name) + ':';
      return true;
    }
    if (attributes_.size() >= kRowAttributesMax) return false;
    attributes_.push_back({std::move(name), "", false});
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override {
    return false;
  }

 private:
  bool Drop() {
    attributes_.pop_back();
    return true;
  }
  void Separate() {
    const char last = nested_.back();
    if (last != '{' && last != '[' && last != ':') nested_ += ',';
  }
  bool Value(std::string text, bool is_number = false) {
    if (depth_ == 0) return false;
    if (depth_ == 1) {
      attributes_.back().value = std::move(text);
      attributes_.back().is_number = is_number;
      return true;
    }
    Separate();
    nested_ += text;
    return true;
  }
  bool Open(char bracket) {
    if (depth_++ == 1) nested_.clear();
    if (!nested_.empty()) Separate();
    nested_ += bracket;
    return true;
  }
  bool Close(char bracket) {
    nested_ += bracket;
    if (--depth_ == 1) attributes_.back().value = std::move(nested_);
    return true;
  }

  source::Attributes attributes_;
  std::string nested_;
  int depth_ = 0;
};

tl::unexpected<Error> NotAnObject() {
  return Fail(Errc::kUnavailable, "a row of the answer is no JSON object");
}

// Before it becomes a tree: commas and brackets, those inside of texts too.
bool IsTooWide(std::string_view text) {
  const auto values = std::count_if(text.begin(), text.end(),
                                    [](char c) { return c == ',' || c == '[' || c == '{'; });
  return static_cast<size_t>(values) > kRowValuesMax;
}

Result<Json> ParseObject(std::string_view text) {
  if (IsTooWide(text))
    return Fail(Errc::kUnavailable,
                fmt::format("a row of the answer has over {} values", kRowValuesMax));
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) value = Json::parse(RepairUtf8(text), nullptr, false);
  if (!value.is_object()) return NotAnObject();
  return value;
}

// A string, or a number as text; "" for anything else.
std::string TextAt(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) return {};
  if (member->is_string()) return member->get<std::string>();
  if (member->is_number()) return member->dump();
  return {};
}

// -1 unless it is a number up to `max`.
int64_t NumberAt(const Json& object, const char* name, int64_t max) {
  return NumberUpTo(TextAt(object, name), max);
}

// A database key as the form wants it; "" if it is none.
std::string KeyText(const std::string& text) {
  const auto number = WholeNumber(text);
  return number ? std::to_string(*number) : std::string();
}

const Json& ArrayAt(const Json& object, const char* name) {
  static const Json empty = Json::array();
  const auto member = object.find(name);
  return member != object.end() && member->is_array() ? *member : empty;
}

std::optional<int64_t> SecondsAt(const Json& object, const char* name) {
  const int64_t seconds = NumberAt(object, name, std::numeric_limits<int64_t>::max());
  return seconds >= 0 ? std::optional(seconds) : std::nullopt;
}

// RFC 4648 section 5; what is none ends it.
std::string FromBase64Url(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t value = kDigits.find(c);
    if (value == std::string_view::npos) break;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

// "header.claims.signature": the party it was issued to.
std::string ClientOf(std::string_view token) {
  const size_t begin = token.find('.');
  if (begin == std::string_view::npos) return "";
  const std::string_view claims = token.substr(begin + 1, token.find('.', begin + 1) - begin - 1);
  const auto parsed = ParseObject(FromBase64Url(claims));
  return parsed ? TextAt(*parsed, "azp") : "";
}

}  // namespace

Result<source::Attributes> ParseAttributes(std::string_view row) {
  if (auto attributes = ParsePlainRow(row)) return *std::move(attributes);
  AttributeReader reader;
  if (Json::sax_parse(row, &reader)) return reader.Take();
  AttributeReader second;
  if (Json::sax_parse(RepairUtf8(row), &second)) return second.Take();
  return NotAnObject();
}

Result<std::vector<SeriesKey>> ParseStudyRow(std::string_view row) {
  TCIAFS_ASSIGN(const Json study, ParseObject(row));
  std::vector<SeriesKey> keys;
  for (const auto& series : ArrayAt(study, "seriesList")) {
    if (!series.is_object()) continue;
    SeriesKey key;
    key.series_uid = TextAt(series, "seriesUID");
    if (key.series_uid.empty()) key.series_uid = TextAt(series, "seriesId");
    key.key = KeyText(TextAt(series, "seriesPkId"));
    key.image_count = NumberAt(series, "numberImages", kSeriesImagesMax);
    if (!key.series_uid.empty() && !key.key.empty()) keys.push_back(std::move(key));
  }
  return keys;
}

Result<PatientSearchRow> ParsePatientSearchRow(std::string_view row) {
  TCIAFS_ASSIGN(const Json patient, ParseObject(row));
  PatientSearchRow result;
  result.collection = TextAt(patient, "project");
  result.patient = TextAt(patient, "subjectId");
  for (const auto& study : ArrayAt(patient, "studyIdentifiers")) {
    if (!study.is_object()) continue;
    for (const auto& key : ArrayAt(study, "seriesIdentifiers")) {
      auto text = KeyText(key.is_string() ? key.get<std::string>() : key.dump());
      if (!text.empty()) result.series_keys.push_back(std::move(text));
    }
  }
  return result;
}

Result<std::optional<ImageRow>> ParseImageRow(std::string_view row) {
  TCIAFS_ASSIGN(const Json image, ParseObject(row));
  ImageRow result;
  result.series_uid = TextAt(image, "seriesInstanceUid");
  const std::string sop = TextAt(image, "sopInstanceUid");
  if (result.series_uid.empty() || !IsUid(sop)) return std::optional<ImageRow>();
  result.instance.sop = source::SopUid(sop);
  result.instance.size_bytes = NumberAt(image, "size", kImageBytesMax);
  return std::optional<ImageRow>(std::move(result));
}

Result<TokenAnswer> ParseTokenAnswer(std::string_view body) {
  TCIAFS_ASSIGN(const Json answer, ParseObject(body));
  TokenAnswer token;
  token.access_token = TextAt(answer, "access_token");
  token.expires_in_s = SecondsAt(answer, "expires_in");
  token.refresh_token = TextAt(answer, "refresh_token");
  token.refresh_expires_in_s = SecondsAt(answer, "refresh_expires_in");
  token.client_id = ClientOf(token.access_token);
  return token;
}

}  // namespace tciafs::nbia
