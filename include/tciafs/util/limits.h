// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the util layer accepts at most, with the reason of each. Sizes are bytes, times
// milliseconds. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs {

// What a user may write for a size or a duration: beyond anything meant seriously, and so far below
// the end of 64 bits that sums with today's sizes and times cannot overflow.
inline constexpr int64_t kSizeBytesMax = int64_t{1} << 60;               // 1 EiB
inline constexpr int64_t kDurationMaxMs = int64_t{36'525} * 86'400'000;  // a hundred years

// Texts (FileText). A row of a series is some 600 bytes: tables of a patient or a study stay in
// memory, those of large collections (NLST: 203,000 series, 150 MB) do not. None is longer than ten
// million rows.
inline constexpr size_t kTextInMemoryBytesMax = 1 << 20;
inline constexpr int64_t kTextBytesMax = int64_t{8} << 30;

}  // namespace tciafs
