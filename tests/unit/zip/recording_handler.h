// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A ZipHandler that keeps what it is told and checks the order it is told it in; it can be made to
// fail. Not thread-safe.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tciafs/zip/zip_stream.h"

namespace tciafs::testing {

struct RecordedEntry {
  std::string name;
  std::string content;
  uint32_t crc32 = 0;
  friend bool operator==(const RecordedEntry&, const RecordedEntry&) = default;
};

class RecordingHandler final : public zip::ZipHandler {
 public:
  Status OnEntryBegin(const std::string& name) override {
    EXPECT_FALSE(current_.has_value()) << "begin inside an entry";
    current_ = RecordedEntry{name, "", 0};
    return fails_at == "begin" ? Status(Fail(Errc::kNoSpace, "begin")) : Status();
  }
  Status OnEntryData(ByteView bytes) override {
    EXPECT_TRUE(current_.has_value()) << "data outside an entry";
    EXPECT_FALSE(bytes.empty());
    piece_bytes_max = std::max(piece_bytes_max, bytes.size());
    received_bytes += bytes.size();
    if (current_) current_->content += AsText(bytes);
    return fails_at == "data" ? Status(Fail(Errc::kNoSpace, "data")) : Status();
  }
  Status OnEntryEnd(const zip::EntryEnd& end) override {
    EXPECT_TRUE(current_.has_value()) << "end outside an entry";
    if (!current_) return Fail(Errc::kInternal, "end outside an entry");
    EXPECT_EQ(end.size_bytes, current_->content.size());
    current_->crc32 = end.crc32;
    entries.push_back(std::move(*current_));
    current_.reset();
    return fails_at == "end" ? Status(Fail(Errc::kNoSpace, "end")) : Status();
  }

  std::vector<RecordedEntry> entries;  // those that ended
  size_t piece_bytes_max = 0;
  uint64_t received_bytes = 0;
  std::string fails_at;  // begin, data or end

 private:
  std::optional<RecordedEntry> current_;
};

}  // namespace tciafs::testing
