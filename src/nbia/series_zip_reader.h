// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A series as it streams in: zip entries become instances. The SOPInstanceUID is in no entry name,
// so the beginning of each entry is held back until its DICOM head tells. LICENSE and
// md5hashes.csv are known by their names; entries that are no DICOM, and an instance that comes a
// second time, are passed over with a line in the log. Entry names never become paths.
//
// Confined to the strand of its exchange; calls the sink from there, all but Done. Errors:
// kUnavailable (no zip came, or one that broke off), kCorrupt (a damaged zip), or what the sink
// returned.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "nbia/answers.h"
#include "nbia/exchange.h"
#include "nbia/limits.h"
#include "nbia/md5_list.h"
#include "tciafs/source/source.h"
#include "tciafs/zip/zip_stream.h"

namespace tciafs::nbia {

// Of what a zip holds besides images.
struct SeriesZipLimits {
  uint64_t skipped_bytes_max = kSkippedBytesMax;
  size_t skipped_entries_max = kSkippedEntriesMax;  // beyond as many as there are images
  size_t names_bytes_max = kEntryNamesBytesMax;
};

class SeriesZipReader final : public BodyReader, private zip::ZipHandler {
 public:
  SeriesZipReader(Question question, source::SeriesUid series,
                  std::shared_ptr<source::SeriesSink> sink, const SeriesZipLimits& limits = {});

  void OnRequest(uint64_t request_id) override { sink_->KnowRequest(request_id); }
  void Begin() override;
  Status Read(ByteView bytes) override;
  Status End() override;

  size_t instances() const { return entry_of_sop_.size(); }
  // The MD5 list came, and every entry it names came too. An answer cut short by the server is a
  // well-formed zip without one.
  bool md5_list_complete() const { return md5_list_complete_; }

 private:
  enum class EntryKind { kNone, kLicense, kMd5List, kSearching, kInstance, kSkipped };

  Status OnEntryBegin(const std::string& name) override;
  Status OnEntryData(ByteView bytes) override;
  Status OnEntryEnd(const zip::EntryEnd& end) override;

  Status Search(ByteView head, bool complete);
  Status Recognise(const std::string& sop_text, ByteView head);
  Status Skip(std::string_view why);
  void ReadMd5List();
  Status FromSink(Status status);
  Error Explain(const Error& error) const;

  const Question question_;
  const source::SeriesUid series_;
  const std::shared_ptr<source::SeriesSink> sink_;
  const SeriesZipLimits limits_;

  std::string first_bytes_;  // until it is known whether a zip comes
  std::string wrong_body_;   // when none does
  std::optional<zip::ZipStream> zip_;
  bool sink_failed_ = false;

  EntryKind kind_ = EntryKind::kNone;
  std::string name_;
  bool name_is_new_ = true;
  std::string head_;  // of an entry whose UID is not known yet
  size_t next_search_bytes_ = 0;

  Md5List md5_list_;
  std::optional<std::unordered_map<std::string, std::string>> md5_of_entry_;
  std::unordered_map<source::SopUid, std::string> entry_of_sop_;
  std::unordered_set<std::string> names_seen_;
  bool md5_list_complete_ = false;
  bool odd_name_logged_ = false;
  size_t skipped_ = 0;
  size_t repeated_ = 0;
  uint64_t skipped_bytes_ = 0;
  size_t names_bytes_ = 0;
};

}  // namespace tciafs::nbia
