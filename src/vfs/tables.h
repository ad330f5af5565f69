// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Rows of the archive as text. CSV is RFC 4180 with a header, but for line feeds alone at the ends
// of lines; JSON is one array of objects. Either way a row is a line (unless, in CSV, a value
// itself has a line break), in UTF-8: what is not becomes U+FFFD. Values are as the archive has
// them, also those a spreadsheet would take for a formula: CSV has no way to mark them that is not
// part of the value.
//
// A row is told as attributes: Path and the ids first. Of two of one name the first counts.
// A TableWriter is for one thread.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tciafs/catalog/catalog.h"
#include "tciafs/util/file_text.h"

namespace tciafs::vfs {

enum class TableFormat { kCsv, kJson };

// The ids on the way down to the object, then what the archive said of it.
source::Attributes WithIds(const catalog::ObjectPath& path, source::Attributes attributes);
// Likewise, with the path below the mountpoint in front.
source::Attributes TableRow(const catalog::ObjectPath& path, source::Attributes attributes);

class TableWriter {
 public:
  TableWriter(TableFormat format, FileTextWriter& out) : format_(format), out_(out) {}

  // CSV: every row goes through here first, for the header. kUnavailable: there are more names than
  // any table may have.
  Status NoteColumns(const source::Attributes& row);
  Status Begin();
  Status Append(const source::Attributes& row);
  Status End();

 private:
  void AppendCsv(const source::Attributes& row);
  void AppendJson(const source::Attributes& row);

  const TableFormat format_;
  FileTextWriter& out_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, size_t> columns_;  // by name: where it stands
  std::vector<const std::string*> cells_;
  std::unordered_set<std::string_view> seen_;
  bool first_ = true;
};

}  // namespace tciafs::vfs
