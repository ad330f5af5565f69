// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The content of a file the file system makes: written once, then read by anybody. A short one is
// in memory, a long one (a table of hundreds of thousands of series) in a file without a name,
// whose pages the kernel can write out and drop; the file goes with its last reader, or the
// process.
//
// A FileText is thread-safe, its writer is not. Errors: kNoSpace (the disk's free floor would be
// touched, or the text is longer than any may be), kInternal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tciafs/util/result.h"
#include "tciafs/util/unique_fd.h"

namespace tciafs {

class FileText {
 public:
  explicit FileText(std::string text) : text_(std::move(text)) {}
  FileText(UniqueFd file, int64_t size_bytes) : file_(std::move(file)), file_bytes_(size_bytes) {}

  int64_t size_bytes() const {
    return file_.valid() ? file_bytes_ : static_cast<int64_t>(text_.size());
  }
  int fd() const { return file_.get(); }             // -1: it is in memory
  const std::string& text() const { return text_; }  // in memory

 private:
  const std::string text_;
  const UniqueFd file_;
  const int64_t file_bytes_ = 0;
};

using FileTextPtr = std::shared_ptr<const FileText>;

class FileTextWriter {
 public:
  // `directory` is where a file may be made, "": nowhere; `room_bytes` tells how much may be
  // written there.
  FileTextWriter(std::string directory, std::function<int64_t()> room_bytes)
      : directory_(std::move(directory)), room_bytes_(std::move(room_bytes)) {}

  // What is appended here is on its way when Settle is called.
  std::string& pending() { return pending_; }
  // To be called now and then, at the latest when a row has been appended.
  Status Settle();
  Result<FileTextPtr> Finish();

 private:
  Status Flush();
  Status Open();

  const std::string directory_;
  const std::function<int64_t()> room_bytes_;
  std::string pending_;
  UniqueFd file_;
  int64_t written_bytes_ = 0;
};

}  // namespace tciafs
