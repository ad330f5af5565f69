// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The answers of NBIA's list endpoints: rows of named columns, written as JSON, CSV, XML or HTML
// the way that server's FormatOutput writes them: a null column is left out of JSON and XML, an
// empty result is an empty body. A list is never held in memory: its producer is run once to see
// whether the list is small, and again to send it if it is not. Belongs to one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exchange.h"

namespace tciafs::archive {

class Row {
 public:
  void Clear() { cells_.clear(); }
  void Text(std::string_view column, std::string_view value);         // "" is null
  void TextOrBlank(std::string_view column, std::string_view value);  // "" is ""
  void Number(std::string_view column, std::optional<int64_t> value);
  void Decimal(std::string_view column, int64_t value);  // in CSV it shows six decimals
  void True(std::string_view column, bool value);        // true, or null
  void Null(std::string_view column);

 private:
  friend class TableWriter;
  enum class Kind { kNull, kText, kLiteral, kDecimal };
  struct Cell {
    std::string_view column;  // borrowed: columns are string literals
    Kind kind;
    std::string text;
  };
  std::vector<Cell> cells_;
};

using RowVisitor = std::function<bool(const Row&)>;  // false: stop
using RowProducer = std::function<void(const RowVisitor&)>;

// `format` is the parameter of that name. A format there is none of gives the server's 500.
Reply TableReply(const std::optional<std::string>& format, RowProducer producer,
                 std::string_view default_format = "json");

// Text as a JSON string, quotes included. Bytes that are not UTF-8 are taken for Latin-1. Jettison
// (the list endpoints) escapes '/', Jackson (the rest) does not.
void AppendJsonString(std::string& out, std::string_view text, bool escape_slash);

}  // namespace tciafs::archive
