// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/json_rows.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace tciafs::nbia {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

tl::unexpected<Error> NotRows(std::string_view what) {
  return Fail(Errc::kUnavailable, fmt::format("the answer is no JSON list: {}", what));
}

// Length of the UTF-8 sequence at the start of `text`, 0 if there is none (RFC 3629).
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : 0xBF;
    return continues(1, low, high) && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

RowCutter::RowCutter(std::string array_key, const RowLimits& limits, OnRow on_row)
    : array_key_(std::move(array_key)), limits_(limits), on_row_(std::move(on_row)) {}

Status RowCutter::Push(std::string_view text) {
  if (!failed_) return failed_;
  body_bytes_ += text.size();
  if (body_bytes_ > limits_.body_bytes_max)
    return failed_ = NotRows(fmt::format("over {} bytes", limits_.body_bytes_max));
  for (size_t at = 0; at < text.size();) {
    // The bulk of every answer is plain characters inside a row: take them in one go.
    if (state_ == State::kInRow && !escaped_) {
      const auto ends_run = [in_string = in_string_](char c) {
        if (c == '"') return true;
        return in_string ? c == '\\' : c == '{' || c == '}' || c == '[' || c == ']';
      };
      const auto run = text.substr(at);
      const size_t end =
          at + static_cast<size_t>(std::find_if(run.begin(), run.end(), ends_run) - run.begin());
      if (row_.size() + (end - at) > limits_.row_bytes_max)
        return failed_ = NotRows(fmt::format("a row over {} bytes", limits_.row_bytes_max));
      row_.append(text, at, end - at);
      at = end;
      if (at == text.size()) break;
    }
    failed_ = Step(text[at++]);
    if (!failed_) return failed_;
  }
  return {};
}

Status RowCutter::Finish() {
  if (!failed_) return failed_;
  if (state_ == State::kBeforeRoot || state_ == State::kAfterArray) return {};
  return failed_ = NotRows(fmt::format("cut short after {} rows", rows_));
}

Status RowCutter::Step(char c) {
  switch (state_) {
    case State::kBeforeRoot:
    case State::kAfterArray:
      return StepOutside(c);
    case State::kInObject:
      return StepObject(c);
    case State::kBetweenRows:
      return StepBetween(c);
    case State::kInRow:
      return StepRow(c);
  }
  return {};
}

Status RowCutter::StepOutside(char c) {
  if (IsBlank(c) || (state_ == State::kBeforeRoot && kByteOrderMark.find(c) != kByteOrderMark.npos))
    return {};
  if (state_ == State::kAfterArray) {
    // What follows the wanted array inside an object is of no interest.
    return root_is_object_ ? Status() : NotRows("text after its end");
  }
  if (c == '[' && array_key_.empty()) {
    state_ = State::kBetweenRows;
    return {};
  }
  if (c == '{' && !array_key_.empty()) {
    root_is_object_ = true;
    state_ = State::kInObject;
    return {};
  }
  return NotRows(fmt::format("it starts with '{}'", c >= ' ' && c <= '~' ? c : '?'));
}

// Passes over the members of the root object up to the array under the wanted key.
Status RowCutter::StepObject(char c) {
  if (in_string_) {
    if (escaped_)
      escaped_ = false;
    else if (c == '\\')
      escaped_ = true;
    else if (c == '"')
      in_string_ = false;
    if (in_string_ && depth_ == 0 && string_.size() <= array_key_.size()) string_ += c;
    return {};
  }
  switch (c) {
    case '"':
      in_string_ = true;
      if (depth_ == 0) string_.clear();
      return {};
    case '[':
      if (depth_ == 0 && string_ == array_key_) {
        state_ = State::kBetweenRows;
        return {};
      }
      [[fallthrough]];
    case '{':
      return ++depth_ < limits_.depth_max ? Status() : NotRows("nested too deeply");
    case ']':
    case '}':
      if (depth_ == 0) {
        state_ = State::kAfterArray;  // no such member: no rows
        return {};
      }
      --depth_;
      return {};
    default:
      return {};
  }
}

Status RowCutter::StepBetween(char c) {
  if (IsBlank(c)) return {};
  if (c == ']' && !(row_expected_ && rows_ > 0)) {
    state_ = State::kAfterArray;
    return {};
  }
  if (c == ',' && rows_ > 0 && !row_expected_) {
    row_expected_ = true;
    return {};
  }
  if (c != '{' || (rows_ > 0 && !row_expected_)) return NotRows("a row that is no object");
  if (rows_ >= limits_.rows_max) return NotRows(fmt::format("over {} rows", limits_.rows_max));
  state_ = State::kInRow;
  row_.assign(1, c);
  depth_ = 1;
  return {};
}

Status RowCutter::StepRow(char c) {
  if (row_.size() >= limits_.row_bytes_max)
    return NotRows(fmt::format("a row over {} bytes", limits_.row_bytes_max));
  row_ += c;
  if (escaped_) {
    escaped_ = false;
    return {};
  }
  if (in_string_) {
    if (c == '\\') escaped_ = true;
    if (c == '"') in_string_ = false;
    return {};
  }
  if (c == '"') in_string_ = true;
  if ((c == '{' || c == '[') && ++depth_ > limits_.depth_max) return NotRows("nested too deeply");
  if ((c == '}' || c == ']') && --depth_ == 0) return EmitRow();
  return {};
}

Status RowCutter::EmitRow() {
  state_ = State::kBetweenRows;
  row_expected_ = false;
  ++rows_;
  return on_row_(row_);
}

std::string RepairUtf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size() + 8);
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length > 0) {
      repaired.append(text.substr(0, length));
      text.remove_prefix(length);
      continue;
    }
    const auto byte = static_cast<unsigned char>(text.front());
    repaired += static_cast<char>(0xC0 | (byte >> 6));
    repaired += static_cast<char>(0x80 | (byte & 0x3F));
    text.remove_prefix(1);
  }
  return repaired;
}

}  // namespace tciafs::nbia
