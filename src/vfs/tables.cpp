// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "vfs/tables.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "vfs/json_writer.h"
#include "vfs/limits.h"

namespace tciafs::vfs {
namespace {

constexpr std::string_view kPathName = "Path";

// The columns that people look for, in this order; all others stand behind, sorted.
constexpr std::array<std::string_view, 36> kFirstColumns = {kPathName,
                                                            "Server",
                                                            "Collection",
                                                            "PatientID",
                                                            "StudyInstanceUID",
                                                            "SeriesInstanceUID",
                                                            "SOPInstanceUID",
                                                            "Modality",
                                                            "BodyPartExamined",
                                                            "SeriesNumber",
                                                            "SeriesDescription",
                                                            "SeriesDate",
                                                            "ProtocolName",
                                                            "ImageCount",
                                                            "FileSize",
                                                            "StudyID",
                                                            "StudyDescription",
                                                            "StudyDate",
                                                            "PatientName",
                                                            "PatientSex",
                                                            "PatientAge",
                                                            "PatientBirthDate",
                                                            "EthnicGroup",
                                                            "SpeciesCode",
                                                            "Manufacturer",
                                                            "ManufacturerModelName",
                                                            "SoftwareVersions",
                                                            "LicenseName",
                                                            "LicenseURI",
                                                            "DataDescriptionURI",
                                                            "DateReleased",
                                                            "MaxSubmissionTimestamp",
                                                            "Size",
                                                            "SizeOrigin",
                                                            "MD5",
                                                            "Cached"};

size_t PlaceOf(std::string_view name) {
  static const auto places = [] {
    std::unordered_map<std::string_view, size_t> by_name;
    for (const auto first : kFirstColumns) by_name.emplace(first, by_name.size());
    return by_name;
  }();
  const auto found = places.find(name);
  return found != places.end() ? found->second : kFirstColumns.size();
}

bool ComesBefore(const std::string& a, const std::string& b) {
  const size_t place_a = PlaceOf(a);
  const size_t place_b = PlaceOf(b);
  return place_a != place_b ? place_a < place_b : a < b;
}

void AppendCell(std::string& out, std::string_view value) {
  if (value.find_first_of("\",\r\n") == std::string_view::npos) {
    AppendUtf8(out, value);
    return;
  }
  out += '"';
  for (size_t from = 0; from < value.size();) {
    const size_t quote = std::min(value.find('"', from), value.size());
    AppendUtf8(out, value.substr(from, quote - from));
    if (quote < value.size()) out += "\"\"";
    from = quote + 1;
  }
  out += '"';
}

// RFC 8259: what an archive calls a number is written as one only if it is spelled like one.
bool IsJsonNumber(std::string_view text) {
  const auto digits = [&text] {
    size_t count = 0;
    for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; ++count) text.remove_prefix(1);
    return count;
  };
  const auto skip = [&text](std::string_view any_of) {
    const bool there = !text.empty() && any_of.find(text[0]) != std::string_view::npos;
    if (there) text.remove_prefix(1);
    return there;
  };
  skip("-");
  const bool zero = text.starts_with('0');
  const size_t whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (skip(".") && digits() == 0) return false;
  if (skip("eE")) {
    skip("+-");
    if (digits() == 0) return false;
  }
  return text.empty();
}

}  // namespace

source::Attributes WithIds(const catalog::ObjectPath& path, source::Attributes attributes) {
  using catalog::Level;
  source::Attributes row;
  row.reserve(attributes.size() + 5);
  const auto add = [&](Level level, std::string_view name, const std::string& id) {
    if (path.level >= level) row.push_back({std::string(name), id, false});
  };
  add(Level::kCollection, "Collection", path.collection.text());
  add(Level::kPatient, "PatientID", path.patient.text());
  add(Level::kStudy, "StudyInstanceUID", path.study.text());
  add(Level::kSeries, "SeriesInstanceUID", path.series.text());
  add(Level::kInstance, "SOPInstanceUID", path.sop.text());
  row.insert(row.end(), std::make_move_iterator(attributes.begin()),
             std::make_move_iterator(attributes.end()));
  return row;
}

source::Attributes TableRow(const catalog::ObjectPath& path, source::Attributes attributes) {
  source::Attributes row = WithIds(path, std::move(attributes));
  row.insert(row.begin(), {std::string(kPathName), path.Text().substr(1), false});
  return row;
}

Status TableWriter::NoteColumns(const source::Attributes& row) {
  if (format_ != TableFormat::kCsv) return {};
  for (const auto& attribute : row)
    if (columns_.try_emplace(attribute.name, 0).second) names_.push_back(attribute.name);
  if (names_.size() <= kTableColumnsMax) return {};
  return Fail(Errc::kUnavailable, "the archive's rows have an absurd number of columns");
}

Status TableWriter::Begin() {
  std::string& out = out_.pending();
  if (format_ == TableFormat::kJson) {
    out += '[';
    return {};
  }
  std::sort(names_.begin(), names_.end(), ComesBefore);
  for (size_t i = 0; i < names_.size(); ++i) {
    columns_[names_[i]] = i;
    if (i > 0) out += ',';
    AppendCell(out, names_[i]);
  }
  out += '\n';
  return {};
}

Status TableWriter::Append(const source::Attributes& row) {
  format_ == TableFormat::kCsv ? AppendCsv(row) : AppendJson(row);
  first_ = false;
  return out_.Settle();
}

void TableWriter::AppendCsv(const source::Attributes& row) {
  cells_.assign(names_.size(), nullptr);
  for (const auto& attribute : row) {
    const auto column = columns_.find(attribute.name);
    if (column != columns_.end() && cells_[column->second] == nullptr)
      cells_[column->second] = &attribute.value;
  }
  std::string& out = out_.pending();
  for (size_t i = 0; i < cells_.size(); ++i) {
    if (i > 0) out += ',';
    if (cells_[i] != nullptr) AppendCell(out, *cells_[i]);
  }
  out += '\n';
}

void TableWriter::AppendJson(const source::Attributes& row) {
  seen_.clear();
  std::string& out = out_.pending();
  out += first_ ? "\n{" : ",\n{";
  for (const auto& attribute : row) {
    if (!seen_.insert(attribute.name).second) continue;
    if (seen_.size() > 1) out += ", ";
    AppendJsonText(out, attribute.name);
    out += ": ";
    if (attribute.is_number && IsJsonNumber(attribute.value))
      out += attribute.value;
    else
      AppendJsonText(out, attribute.value);
  }
  out += '}';
}

Status TableWriter::End() {
  if (format_ == TableFormat::kJson) out_.pending() += first_ ? "]\n" : "\n]\n";
  return out_.Settle();
}

}  // namespace tciafs::vfs
