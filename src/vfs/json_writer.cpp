// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/json_writer.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tciafs::vfs {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

bool IsContinuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// The length of the well-formed UTF-8 sequence at the beginning; 0 if there is none (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF).
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : static_cast<unsigned char>(0);
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return IsContinuation(byte(1)) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
    return !overlong && !surrogate && IsContinuation(byte(1)) && IsContinuation(byte(2)) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool outside = (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90);
    return !outside && IsContinuation(byte(1)) && IsContinuation(byte(2)) && IsContinuation(byte(3))
               ? 4
               : 0;
  }
  return 0;
}

bool IsOutsideAscii(char c) { return c == '\0' || static_cast<unsigned char>(c) >= 0x80; }

// Stands in a text as it is.
bool IsPlain(char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; }

void AppendEscaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      const auto code = static_cast<unsigned char>(c);
      if (code < 0x20 || code == 0x7F)
        out += fmt::format("\\u{:04x}", code);
      else
        out += c;
  }
}

}  // namespace

void AppendUtf8(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const size_t plain =
        static_cast<size_t>(std::find_if(text.begin(), text.end(), IsOutsideAscii) - text.begin());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) return;
    const size_t length = text[0] == '\0' ? 0 : SequenceLength(text);
    out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

void AppendJsonText(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const size_t plain =
        static_cast<size_t>(std::find_if_not(text.begin(), text.end(), IsPlain) - text.begin());
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    const size_t length = SequenceLength(text);
    if (length == 1)
      AppendEscaped(out, text.front());
    else
      out += length == 0 ? kReplacement : text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

std::string JsonText(std::string_view text) {
  std::string out;
  AppendJsonText(out, text);
  return out;
}

void JsonWriter::Key(std::string_view name) {
  Separate();
  out_ += JsonText(name) + ": ";
  after_key_ = true;
}

void JsonWriter::Seconds(int64_t ms) { Put(fmt::format("{:.3f}", static_cast<double>(ms) / 1e3)); }

void JsonWriter::Begin(char bracket) {
  Separate();
  out_ += bracket;
  ++depth_;
  first_ = true;
}

void JsonWriter::End(char bracket) {
  --depth_;
  if (!first_) BreakLine();
  out_ += bracket;
  first_ = false;
}

void JsonWriter::Put(std::string_view value) {
  Separate();
  out_ += value;
}

void JsonWriter::Separate() {
  if (std::exchange(after_key_, false)) return;
  if (!std::exchange(first_, false)) out_ += ',';
  if (depth_ > 0) BreakLine();
}

void JsonWriter::BreakLine() { out_.append("\n").append(2 * depth_, ' '); }

std::string JsonWriter::Take() {
  out_ += '\n';
  return std::exchange(out_, {});
}

}  // namespace tciafs::vfs
