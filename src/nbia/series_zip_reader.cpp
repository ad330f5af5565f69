// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "nbia/series_zip_reader.h"

#include <algorithm>
#include <utility>

#include "nbia/limits.h"
#include "nbia/row_mapping.h"
#include "tciafs/dicom/head.h"
#include "tciafs/util/log.h"

namespace tciafs::nbia {
namespace {

constexpr std::string_view kLicenseName = "LICENSE";
constexpr std::string_view kMd5ListName = "md5hashes.csv";
// The first search for the UID; each further one waits for twice as much.
constexpr size_t kFirstSearchBytes = 1024;
// One line each for so many odd entries of a series, then silence.
constexpr size_t kSkippedLoggedMax = 5;

bool IsOddName(std::string_view name) {
  return name.empty() || name.front() == '/' || name.find("..") != std::string_view::npos ||
         name.find('\\') != std::string_view::npos;
}

}  // namespace

SeriesZipReader::SeriesZipReader(Question question, source::SeriesUid series,
                                 std::shared_ptr<source::SeriesSink> sink,
                                 const SeriesZipLimits& limits)
    : question_(std::move(question)),
      series_(std::move(series)),
      sink_(std::move(sink)),
      limits_(limits) {}

void SeriesZipReader::Begin() {
  // Never restarted, so there is nothing to forget.
  zip::ZipLimits limits;
  limits.name_bytes_max = kEntryNameBytesMax;
  zip_.emplace(static_cast<zip::ZipHandler&>(*this), limits);
}

Status SeriesZipReader::Read(ByteView bytes) {
  std::string_view text = AsText(bytes);
  if (!wrong_body_.empty()) {
    wrong_body_ += text.substr(0, kErrorBodyBytesMax - wrong_body_.size());
    if (wrong_body_.size() < kErrorBodyBytesMax) return {};
    return Fail(ReadWrongBody(question_, "a zip", wrong_body_));
  }
  std::string joined;
  if (first_bytes_.size() < 2) {
    first_bytes_ += text;
    if (first_bytes_.size() < 2) return {};
    if (!first_bytes_.starts_with("PK")) {
      wrong_body_ = first_bytes_.substr(0, kErrorBodyBytesMax);
      return {};
    }
    joined = std::exchange(first_bytes_, "PK");
    text = joined;
  }
  const Status pushed = zip_->Push(AsBytes(text));
  if (!pushed) return Fail(Explain(pushed.error()));
  return {};
}

Status SeriesZipReader::End() {
  if (!wrong_body_.empty() || first_bytes_.size() < 2)
    return Fail(
        ReadWrongBody(question_, "a zip", wrong_body_.empty() ? first_bytes_ : wrong_body_));
  const Status finished = zip_->Finish();
  if (finished) return {};
  // A proxy that lost its server ends the answer as if all were well: as good as a lost connection.
  Error error = Explain(finished.error());
  if (error.code == Errc::kCorrupt) error.code = Errc::kUnavailable;
  return Fail(std::move(error));
}

Status SeriesZipReader::OnEntryBegin(const std::string& name) {
  name_ = name;
  name_is_new_ = names_seen_.insert(name).second;
  if (name_is_new_) names_bytes_ += name.size();
  if (names_bytes_ > limits_.names_bytes_max)
    return Fail(Errc::kCorrupt, "a zip whose names alone are too much to remember");
  head_.clear();
  next_search_bytes_ = kFirstSearchBytes;
  if (name == kLicenseName)
    kind_ = EntryKind::kLicense;
  else if (name == kMd5ListName)  // a second one is passed over
    kind_ = md5_of_entry_ ? EntryKind::kSkipped : EntryKind::kMd5List;
  else
    kind_ = EntryKind::kSearching;
  if (IsOddName(name) && !std::exchange(odd_name_logged_, true))
    LogWarning("{}: series {} holds an entry with an odd name \"{}\"", question_.host,
               series_.text(), QuoteBody(name));
  return {};
}

Status SeriesZipReader::OnEntryData(ByteView bytes) {
  switch (kind_) {
    case EntryKind::kNone:
    case EntryKind::kLicense:
    case EntryKind::kSkipped:
      skipped_bytes_ += bytes.size();
      if (skipped_bytes_ <= limits_.skipped_bytes_max) return {};
      return Fail(Errc::kCorrupt, "a zip that holds more besides its images than it may");
    case EntryKind::kMd5List:
      return md5_list_.Append(AsText(bytes), instances());
    case EntryKind::kInstance:
      return FromSink(sink_->Data(bytes));
    case EntryKind::kSearching:
      break;
  }
  if (head_.empty() && bytes.size() >= next_search_bytes_) return Search(bytes, false);
  head_ += AsText(bytes);
  return head_.size() >= next_search_bytes_ ? Search(AsBytes(head_), false) : Status();
}

Status SeriesZipReader::OnEntryEnd(const zip::EntryEnd&) {
  if (kind_ == EntryKind::kSearching) TCIAFS_TRY(Search(AsBytes(head_), true));
  const EntryKind ended = std::exchange(kind_, EntryKind::kNone);
  if (ended == EntryKind::kMd5List) ReadMd5List();
  if (ended != EntryKind::kInstance) return {};
  return FromSink(sink_->EndInstance());
}

// `head` is all that has come of the entry, or the first of it, which is kept if it does not do.
Status SeriesZipReader::Search(ByteView head, bool complete) {
  const auto found = dicom::FindSopInstanceUid(head, complete);
  if (!found) return Skip(found.error().message);
  if (*found) return Recognise(**found, head);
  if (complete || head.size() >= dicom::kHeadBytesMax) return Skip("no SOPInstanceUID in its head");
  next_search_bytes_ = std::min(head.size() * 2, dicom::kHeadBytesMax);
  if (head_.empty()) head_ = AsText(head);
  return {};
}

Status SeriesZipReader::Recognise(const std::string& sop_text, ByteView head) {
  if (!IsUid(sop_text)) return Skip("its SOPInstanceUID is no UID");
  const source::SopUid sop(sop_text);
  const bool first = entry_of_sop_.emplace(sop, name_).second;
  if (!first && ++repeated_ <= kSkippedLoggedMax)
    LogWarning("{}: series {}: entry \"{}\" brings an instance that came before", question_.host,
               series_.text(), QuoteBody(name_));
  kind_ = EntryKind::kInstance;
  TCIAFS_TRY(FromSink(sink_->BeginInstance(sop)));
  if (md5_of_entry_ && name_is_new_ && first) {
    const auto sum = md5_of_entry_->find(name_);
    if (sum != md5_of_entry_->end()) sink_->ExpectMd5(sop, sum->second);
  }
  const Status passed_on = FromSink(sink_->Data(head));
  head_ = {};
  return passed_on;
}

Status SeriesZipReader::Skip(std::string_view why) {
  kind_ = EntryKind::kSkipped;
  head_ = {};
  if (++skipped_ <= kSkippedLoggedMax)
    LogWarning("{}: series {}: entry \"{}\" passed over: {}", question_.host, series_.text(),
               QuoteBody(name_), why);
  if (skipped_ > limits_.skipped_entries_max + instances())
    return Fail(Errc::kCorrupt, "a zip of entries that are no images");
  return {};
}

void SeriesZipReader::ReadMd5List() {
  md5_of_entry_ = md5_list_.Parse();
  md5_list_ = {};
  // A name that came twice says nothing about which of the two its sum is meant for.
  std::unordered_map<std::string_view, size_t> entries_named;
  for (const auto& [sop, entry] : entry_of_sop_) ++entries_named[entry];
  for (const auto& [sop, entry] : entry_of_sop_) {
    const auto sum = md5_of_entry_->find(entry);
    if (sum != md5_of_entry_->end() && entries_named[entry] == 1)
      sink_->ExpectMd5(sop, sum->second);
  }
  md5_list_complete_ =
      !md5_of_entry_->empty() &&
      std::all_of(md5_of_entry_->begin(), md5_of_entry_->end(),
                  [&](const auto& sum) { return names_seen_.contains(sum.first); });
}

// Remembers that an error is the sink's own and no verdict on the zip.
Status SeriesZipReader::FromSink(Status status) {
  if (!status) sink_failed_ = true;
  return status;
}

Error SeriesZipReader::Explain(const Error& error) const {
  return sink_failed_ ? error : Within(question_, error);
}

}  // namespace tciafs::nbia
