// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "table.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "replies.h"
#include "tciafs/util/text.h"

namespace tciafs::archive {
namespace {

constexpr size_t kFlushBytes = 32 * 1024;

// The length of the UTF-8 sequence at the beginning of text, 0 if there is none.
size_t Utf8Length(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  size_t length = 0;
  if (lead < 0x80)
    length = 1;
  else if (lead >= 0xc2 && lead < 0xe0)
    length = 2;
  else if (lead >= 0xe0 && lead < 0xf0)
    length = 3;
  else if (lead >= 0xf0 && lead < 0xf5)
    length = 4;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  const auto second = length > 1 ? static_cast<unsigned char>(text[1]) : 0;
  const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
  const bool surrogate = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
  return overlong || surrogate ? 0 : length;
}

void AppendLatin1(std::string& out, char c) {
  const auto byte = static_cast<unsigned char>(c);
  out += static_cast<char>(0xc0 | byte >> 6);
  out += static_cast<char>(0x80 | (byte & 0x3f));
}

void AppendJsonCharacter(std::string& out, char c, bool escape_slash) {
  switch (c) {
    case '"':
    case '\\':
      out += '\\';
      out += c;
      return;
    case '/':
      out += escape_slash ? "\\/" : "/";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\r':
      out += "\\r";
      return;
    default:
      if (static_cast<unsigned char>(c) < 0x20)
        out += fmt::format("\\u{:04x}", c);
      else
        out += c;
  }
}

void AppendMarkup(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out += c;
  }
}

enum class Format { kJson, kHtml, kXml, kCsv, kCsvDownload, kCsvQuoted };

struct FormatName {
  std::string_view name;
  Format format;
  const char* content_type;
};
constexpr std::array<FormatName, 6> kFormats = {{{"json", Format::kJson, "application/json"},
                                                 {"html", Format::kHtml, "text/html"},
                                                 {"xml", Format::kXml, "application/xml"},
                                                 {"csv", Format::kCsv, "text/csv"},
                                                 {"csv-download", Format::kCsvDownload, "text/csv"},
                                                 {"csvquoted", Format::kCsvQuoted, "text/csv"}}};

// Keeps the beginning of a body and says stop when it proves too long.
class ShortBody final : public BodySink {
 public:
  bool Write(std::string_view bytes) override {
    body_ += bytes;
    return body_.size() <= kReplyBufferBytes;
  }
  std::string& body() { return body_; }

 private:
  std::string body_;
};

}  // namespace

void AppendJsonString(std::string& out, std::string_view text, bool escape_slash) {
  out += '"';
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 1)
      AppendJsonCharacter(out, text[0], escape_slash);
    else if (length == 0)
      AppendLatin1(out, text[0]);
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  out += '"';
}

void Row::Text(std::string_view column, std::string_view value) {
  cells_.push_back({column, value.empty() ? Kind::kNull : Kind::kText, std::string(value)});
}
void Row::TextOrBlank(std::string_view column, std::string_view value) {
  cells_.push_back({column, Kind::kText, std::string(value)});
}
void Row::Number(std::string_view column, std::optional<int64_t> value) {
  cells_.push_back({column, value ? Kind::kLiteral : Kind::kNull,
                    value ? std::to_string(*value) : std::string()});
}
void Row::Decimal(std::string_view column, int64_t value) {
  cells_.push_back({column, Kind::kDecimal, std::to_string(value)});
}
void Row::True(std::string_view column, bool value) {
  cells_.push_back({column, value ? Kind::kLiteral : Kind::kNull, "true"});
}
void Row::Null(std::string_view column) { cells_.push_back({column, Kind::kNull, {}}); }

class TableWriter {
 public:
  TableWriter(Format format, BodySink& sink) : format_(format), sink_(sink) {}

  bool Write(const Row& row) {
    Begin(row);
    switch (format_) {
      case Format::kJson:
        WriteJson(row);
        break;
      case Format::kXml:
        WriteXml(row);
        break;
      case Format::kHtml:
        WriteHtml(row);
        break;
      default:
        WriteCsv(row);
    }
    ++rows_;
    return pending_.size() < kFlushBytes || Flush();
  }

  bool Finish() {
    if (format_ == Format::kJson) pending_ += ']';
    if (format_ == Format::kXml) pending_ += "</Results>";
    if (format_ == Format::kHtml) pending_ += "</table></body></html>";
    return Flush();
  }
  int64_t rows() const { return rows_; }

 private:
  void Begin(const Row& row) {
    if (format_ == Format::kJson) pending_ += rows_ == 0 ? '[' : ',';
    if (rows_ != 0) return;
    if (format_ == Format::kXml) pending_ += "<Results>";
    if (format_ == Format::kHtml) pending_ += "<html><body><table border=\"1\">";
    if (format_ == Format::kJson || format_ == Format::kXml) return;
    const bool html = format_ == Format::kHtml;
    if (html) pending_ += "<tr>";
    for (size_t i = 0; i < row.cells_.size(); ++i) {
      if (html)
        pending_ += "<th>";
      else if (i > 0)
        pending_ += ',';
      pending_ += row.cells_[i].column;
      if (html) pending_ += "</th>";
    }
    pending_ += html ? "</tr>" : "\n";
  }

  void WriteJson(const Row& row) {
    pending_ += '{';
    bool first = true;
    for (const Row::Cell& cell : row.cells_) {
      if (cell.kind == Row::Kind::kNull) continue;
      if (!std::exchange(first, false)) pending_ += ',';
      AppendJsonString(pending_, cell.column, true);
      pending_ += ':';
      if (cell.kind == Row::Kind::kText)
        AppendJsonString(pending_, cell.text, true);
      else
        pending_ += cell.text;
    }
    pending_ += '}';
  }

  void WriteXml(const Row& row) {
    pending_ += "<Row>";
    for (const Row::Cell& cell : row.cells_) {
      if (cell.kind == Row::Kind::kNull) continue;
      const char* type = cell.kind == Row::Kind::kText ? "String" : "Long";
      pending_ += fmt::format("<{} type='java.lang.{}'>", cell.column, type);
      AppendMarkup(pending_, cell.text);
      pending_ += fmt::format("</{}>", cell.column);
    }
    pending_ += "</Row>";
  }

  void WriteHtml(const Row& row) {
    pending_ += "<tr>";
    for (const Row::Cell& cell : row.cells_) {
      pending_ += "<td>";
      AppendMarkup(pending_, cell.text);
      pending_ += "</td>";
    }
    pending_ += "</tr>";
  }

  // One column stands bare, several stand in quotes.
  void WriteCsv(const Row& row) {
    const bool quoted = row.cells_.size() > 1;
    for (size_t i = 0; i < row.cells_.size(); ++i) {
      const Row::Cell& cell = row.cells_[i];
      if (i > 0) pending_ += ',';
      if (cell.kind == Row::Kind::kNull) continue;
      if (quoted) pending_ += '"';
      for (const char c : cell.text) pending_.append(quoted && c == '"' ? 2 : 1, c);
      if (cell.kind == Row::Kind::kDecimal) pending_ += ".000000";
      if (quoted) pending_ += '"';
    }
    pending_ += '\n';
  }

  bool Flush() {
    const bool wanted = pending_.empty() || sink_.Write(pending_);
    pending_.clear();
    return wanted;
  }

  const Format format_;
  BodySink& sink_;
  std::string pending_;
  int64_t rows_ = 0;
};

namespace {

// False when the sink refused; the number of rows written in any case.
bool WriteTable(Format format, const RowProducer& producer, BodySink& sink, int64_t& rows) {
  TableWriter writer(format, sink);
  bool wanted = true;
  producer([&](const Row& row) { return wanted = writer.Write(row); });
  rows = writer.rows();
  return wanted && (rows == 0 || writer.Finish());
}

}  // namespace

Reply TableReply(const std::optional<std::string>& format, RowProducer producer,
                 std::string_view default_format) {
  const std::string_view name = format ? std::string_view(*format) : default_format;
  const auto known = std::find_if(kFormats.begin(), kFormats.end(), [&](const FormatName& f) {
    return EqualsIgnoringCase(f.name, name);
  });
  const Format chosen = known == kFormats.end() ? Format::kJson : known->format;
  ShortBody beginning;
  int64_t rows = 0;
  const bool is_short = WriteTable(chosen, producer, beginning, rows);
  if (rows == 0) return Reply{};  // whatever the format
  if (known == kFormats.end()) return ServerErrorReply("");
  Reply reply;
  reply.content_type = known->content_type;
  if (chosen == Format::kCsvDownload)
    reply.headers.emplace_back("Content-Disposition", "attachment; filename=SeriesMetaData.csv");
  if (is_short) {
    reply.body = std::move(beginning.body());
    return reply;
  }
  reply.writer = [chosen, producer = std::move(producer)](BodySink& sink) {
    int64_t ignored = 0;
    return WriteTable(chosen, producer, sink, ignored);
  };
  return reply;
}

}  // namespace tciafs::archive
