// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Writes JSON (RFC 8259), indented for people. Text may be any bytes: what is not UTF-8 becomes
// U+FFFD, so that every reader can read the result. Calls must nest properly. Not thread-safe.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace tciafs::vfs {

// Well-formed UTF-8, and no NUL: whatever is not becomes U+FFFD.
void AppendUtf8(std::string& out, std::string_view text);
// With its quotation marks.
void AppendJsonText(std::string& out, std::string_view text);
std::string JsonText(std::string_view text);

class JsonWriter {
 public:
  void BeginObject() { Begin('{'); }
  void EndObject() { End('}'); }
  void BeginArray() { Begin('['); }
  void EndArray() { End(']'); }
  void Key(std::string_view name);

  void Text(std::string_view text) { Put(JsonText(text)); }
  void Number(int64_t number) { Put(std::to_string(number)); }
  void Bool(bool value) { Put(value ? "true" : "false"); }
  void Null() { Put("null"); }
  void Seconds(int64_t ms);  // as a number with three decimals

  // Members of an object.
  void Member(std::string_view name, std::string_view text) { Key(name), Text(text); }
  void Member(std::string_view name, const char* text) { Key(name), Text(text); }
  void Member(std::string_view name, std::integral auto number) {
    Key(name), Number(static_cast<int64_t>(number));
  }
  void Member(std::string_view name, bool value) { Key(name), Bool(value); }
  void NullMember(std::string_view name) { Key(name), Null(); }

  std::string Take();  // with a line feed at the end

 private:
  void Begin(char bracket);
  void End(char bracket);
  void Put(std::string_view value);
  void Separate();
  void BreakLine();

  std::string out_;
  size_t depth_ = 0;
  bool first_ = true;  // nothing yet in the innermost bracket
  bool after_key_ = false;
};

}  // namespace tciafs::vfs
