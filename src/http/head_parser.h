// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Collects the lines of a response's head (RFC 9112 sections 4 and 5) into a ResponseHead: interim
// 1xx answers are skipped, names go to lower case, folded lines are joined, trailers are ignored.
// Not thread-safe.
#pragma once

#include <string_view>

#include "http/limits.h"
#include "tciafs/http/transport.h"

namespace tciafs::http {

class HeadParser {
 public:
  static constexpr size_t kHeaderBytesMax = kHeadBytesMax;

  enum class Progress { kMore, kComplete, kTooLarge };
  // One line with its line end. kComplete exactly once, with the blank line of the final head.
  Progress OnLine(std::string_view line);
  bool complete() const { return complete_; }
  const ResponseHead& head() const { return head_; }

 private:
  void ParseStatusLine(std::string_view line);
  void ParseField(std::string_view line);

  ResponseHead head_;
  size_t size_bytes_ = 0;
  bool expects_status_line_ = true;
  bool complete_ = false;
};

}  // namespace tciafs::http
