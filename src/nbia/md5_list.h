// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The md5hashes.csv of a downloaded zip: header "Filename,MD5Hash", then one unquoted line per
// entry, in no order. Collected in memory (bounded) and read when the entry has ended. Not
// thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tciafs/util/result.h"

namespace tciafs::nbia {

class Md5List {
 public:
  // Of a zip in which so many images came before it; 0: not known. kCorrupt over the limit.
  Status Append(std::string_view text, size_t instances = 0);
  // Entry name to 32 lower-case hex digits; lines that are neither are left out, as are names that
  // come with two different sums.
  std::unordered_map<std::string, std::string> Parse() const;

 private:
  std::string text_;
};

// 32 hex digits in lower case; "" if `text` is no MD5 sum.
std::string CanonicalMd5(std::string_view text);

}  // namespace tciafs::nbia
