// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/plain_row.h"

#include <algorithm>
#include <string>

#include "nbia/limits.h"

namespace tciafs::nbia {
namespace {

constexpr size_t kExactDigits = 15;  // a double keeps them all
constexpr size_t kMembersReserved = 64;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

class PlainReader {
 public:
  explicit PlainReader(std::string_view text) : rest_(text) {}

  bool Take(char c) {
    SkipBlanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool AtEnd() {
    SkipBlanks();
    return rest_.empty();
  }
  bool Text(std::string& text) {
    if (!Take('"')) return false;
    for (;;) {
      const auto* const end = std::find_if(rest_.begin(), rest_.end(), [](char c) {
        return c == '"' || c == '\\' || c < ' ' || c > '~';
      });
      const auto run = static_cast<size_t>(end - rest_.begin());
      text.append(rest_, 0, run);
      rest_.remove_prefix(run);
      if (Word("\"")) return true;
      if (!rest_.starts_with("\\/")) return false;  // the server escapes every slash
      text += '/';
      rest_.remove_prefix(2);
    }
  }
  bool Word(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  // "2.000000" is 2; other fractions stay as they are written.
  std::optional<std::string_view> Number() {
    const std::string_view whole = Digits();
    if (whole.empty() || (whole.front() == '0' && whole.size() > 1)) return std::nullopt;
    std::string_view number = whole;
    if (!rest_.empty() && rest_.front() == '.') {
      rest_.remove_prefix(1);
      const std::string_view fraction = Digits();
      if (fraction.empty()) return std::nullopt;
      if (fraction.find_first_not_of('0') != std::string_view::npos)
        number = {whole.data(), whole.size() + 1 + fraction.size()};
    }
    if (!rest_.empty() && (rest_.front() == 'e' || rest_.front() == 'E')) return std::nullopt;
    return number;
  }
  void SkipBlanks() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t' ||
                              rest_.front() == '\n' || rest_.front() == '\r'))
      rest_.remove_prefix(1);
  }
  char Next() const { return rest_.empty() ? '\0' : rest_.front(); }

 private:
  // None if there are too many.
  std::string_view Digits() {
    const auto* const end = std::find_if_not(rest_.begin(), rest_.end(), IsDigit);
    const auto digits = rest_.substr(0, static_cast<size_t>(end - rest_.begin()));
    if (digits.size() > kExactDigits) return {};
    rest_.remove_prefix(digits.size());
    return digits;
  }

  std::string_view rest_;
};

enum class Value { kRead, kNull, kNotPlain };

Value ReadValue(PlainReader& in, source::Attribute& attribute) {
  in.SkipBlanks();
  const char first = in.Next();
  if (first == '"') return in.Text(attribute.value) ? Value::kRead : Value::kNotPlain;
  attribute.is_number = IsDigit(first);
  if (attribute.is_number) {
    const auto number = in.Number();
    if (!number) return Value::kNotPlain;
    attribute.value = *number;
    return Value::kRead;
  }
  for (const std::string_view word : {"true", "false"}) {
    if (!in.Word(word)) continue;
    attribute.value = word;
    return Value::kRead;
  }
  return in.Word("null") ? Value::kNull : Value::kNotPlain;
}

}  // namespace

std::optional<source::Attributes> ParsePlainRow(std::string_view row) {
  PlainReader in(row);
  source::Attributes attributes;
  // Rows are kept by the ten thousand: room for what there is, and no more.
  const auto members = static_cast<size_t>(std::count(row.begin(), row.end(), ',')) + 1;
  attributes.reserve(std::min(members, kMembersReserved));
  if (!in.Take('{')) return std::nullopt;
  do {
    if (attributes.size() >= kRowAttributesMax) return std::nullopt;
    source::Attribute& attribute = attributes.emplace_back();
    if (!in.Text(attribute.name) || !in.Take(':')) return std::nullopt;
    const Value value = ReadValue(in, attribute);
    if (value == Value::kNotPlain) return std::nullopt;
    if (value == Value::kNull) attributes.pop_back();
  } while (in.Take(','));
  if (!in.Take('}') || !in.AtEnd()) return std::nullopt;
  return attributes;
}

}  // namespace tciafs::nbia
