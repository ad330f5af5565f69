// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Cuts a JSON array that is still arriving into its rows (the text of each object), so that an
// answer of any length is read with the memory of one row. Understands strings, escapes and
// nesting, not values: each row is then parsed by itself. The rows are those of the top-level
// array, or of the array under `array_key` of a top-level object. Source: RFC 8259.
//
// Not thread-safe. Errors: kUnavailable (not an array of objects, cut short, a limit passed), or
// what the row callback returned; after an error the cutter stays failed.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "nbia/limits.h"
#include "tciafs/util/result.h"

namespace tciafs::nbia {

struct RowLimits {
  size_t row_bytes_max = kRowBytesMax;
  size_t depth_max = kRowDepthMax;
  size_t rows_max = kRowsMax;
  size_t body_bytes_max = kListBytesMax;
};

class RowCutter {
 public:
  using OnRow = std::function<Status(std::string_view row)>;

  RowCutter(std::string array_key, const RowLimits& limits, OnRow on_row);

  Status Push(std::string_view text);
  // The body has ended.
  Status Finish();
  size_t rows() const { return rows_; }
  // Nothing but blanks so far.
  bool blank() const { return state_ == State::kBeforeRoot; }

 private:
  enum class State { kBeforeRoot, kInObject, kBetweenRows, kInRow, kAfterArray };

  Status Step(char c);
  Status StepOutside(char c);
  Status StepObject(char c);
  Status StepBetween(char c);
  Status StepRow(char c);
  Status EmitRow();

  const std::string array_key_;
  const RowLimits limits_;
  const OnRow on_row_;

  State state_ = State::kBeforeRoot;
  bool root_is_object_ = false;
  bool in_string_ = false;
  bool escaped_ = false;
  bool row_expected_ = false;  // after a comma
  size_t depth_ = 0;           // of the value being passed over or collected
  size_t rows_ = 0;
  size_t body_bytes_ = 0;
  std::string string_;  // the string last read at the top level of the root object
  std::string row_;
  Status failed_;
};

// Bytes that are no UTF-8 are taken for Latin-1, the character set of the archive's database.
std::string RepairUtf8(std::string_view text);

}  // namespace tciafs::nbia
