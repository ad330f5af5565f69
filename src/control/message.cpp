// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/control/message.h"

#include <charconv>

#include "tciafs/control/limits.h"
#include "tciafs/util/text.h"

namespace tciafs::control {
namespace {

const std::string kNothing;

bool IsPlain(char c) { return c > ' ' && c < 0x7f && c != '%'; }

void Escape(std::string_view value, std::string& into) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const char c : value) {
    if (IsPlain(c)) {
      into += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    into += '%';
    into += kDigits[byte >> 4];
    into += kDigits[byte & 15];
  }
}

int Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Result<std::string> Unescape(std::string_view text) {
  std::string value;
  value.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!IsPlain(text[i])) return Fail(Errc::kInvalidArgument, "a byte that is not encoded");
      value += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? Digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? Digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return Fail(Errc::kInvalidArgument, "an encoded byte is cut short");
    value += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return value;
}

bool IsWord(std::string_view word) {
  if (word.empty()) return false;
  for (const char c : word)
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.')) return false;
  return true;
}

}  // namespace

Message& Message::Add(std::string_view name, std::string_view value) {
  fields_.emplace_back(name, value);
  return *this;
}

Message& Message::Add(std::string_view name, int64_t number) {
  return Add(name, std::to_string(number));
}

const std::string* Message::Find(std::string_view name) const {
  for (const auto& [known, value] : fields_)
    if (known == name) return &value;
  return nullptr;
}

const std::string& Message::Text(std::string_view name) const {
  const std::string* found = Find(name);
  return found != nullptr ? *found : kNothing;
}

int64_t Message::Number(std::string_view name, int64_t otherwise) const {
  const std::string& text = Text(name);
  int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  return failed == std::errc{} && end == text.data() + text.size() ? number : otherwise;
}

std::vector<std::string> Message::All(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [known, value] : fields_)
    if (known == name) values.push_back(value);
  return values;
}

std::string Message::Encoded() const {
  std::string line = kind_;
  for (const auto& [name, value] : fields_) {
    line += ' ';
    line += name;
    line += '=';
    Escape(value, line);
  }
  line += '\n';
  return line;
}

Result<Message> Message::Decode(std::string_view line) {
  const size_t kind_end = std::min(line.find(' '), line.size());
  if (!IsWord(line.substr(0, kind_end)))
    return Fail(Errc::kInvalidArgument, "a message without a kind");
  Message message{std::string(line.substr(0, kind_end))};
  for (line.remove_prefix(kind_end); !line.empty();) {
    line.remove_prefix(1);  // the blank before a field
    const std::string_view field = line.substr(0, line.find(' '));
    line.remove_prefix(field.size());
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos || !IsWord(field.substr(0, equals)))
      return Fail(Errc::kInvalidArgument, "a field without a name");
    if (message.fields_.size() == kFieldsMax)
      return Fail(Errc::kInvalidArgument, "too many fields");
    TCIAFS_ASSIGN(std::string value, Unescape(field.substr(equals + 1)));
    message.fields_.emplace_back(field.substr(0, equals), std::move(value));
  }
  return message;
}

Message DoneMessage() { return Message("done"); }

Message FailedMessage(const Error& error) {
  Message message("failed");
  message.Add("code", ErrcName(error.code)).Add("reason", error.message);
  return message;
}

Error ErrorIn(const Message& failed) {
  Error error{Errc::kInternal, failed.Text("reason"), 0};
  for (int code = 0; code <= static_cast<int>(Errc::kInternal); ++code)
    if (ErrcName(static_cast<Errc>(code)) == failed.Text("code"))
      error.code = static_cast<Errc>(code);
  return error;
}

}  // namespace tciafs::control
