// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What an archive can make the catalog keep or do, with the reason of each. Sizes are bytes.
// Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::catalog {

// Names of files: NAME_MAX of Linux. An object whose id needs more is left out, and the log says
// so, for so many of them.
inline constexpr size_t kNameBytesMax = 255;
inline constexpr size_t kOddIdsRemembered = 1'000;

// What one row may hold; a server that sends more loses the excess. The widest row known has 40
// attributes in 850 bytes; a value becomes an extended attribute, of which Linux takes 64 KiB. The
// last one that begins within a row's bytes is kept whole.
inline constexpr size_t kAttributesMax = 512;
inline constexpr size_t kAttributeNameBytesMax = 255;
inline constexpr size_t kAttributeValueBytesMax = 64 << 10;
inline constexpr size_t kAttributeBytesMax = 512 << 10;

// Rows of one answer, and of one bulk (NLST, the largest, has 203,000 series). More is no archive.
inline constexpr size_t kRowsOfAnswerMax = 2'000'000;
inline constexpr size_t kRowsOfBulkMax = 20'000'000;

// Requests for the instances of many series: what answers in one go everywhere, and keeps an answer
// within tens of megabytes. Looking for such series ends somewhere, too.
inline constexpr size_t kPlanSeriesMax = 5'000;
inline constexpr int64_t kPlanImagesMax = 200'000;
inline constexpr size_t kPlanSeriesLookedAtMax = 20'000;

// Per server. A bulk is a heavy query for the archive. Nobody waits for renewals behind; the next
// access starts those left out.
inline constexpr size_t kBulksPerServerMax = 2;
inline constexpr size_t kRenewalsBehindMax = 64;

// Patients asked for one by one where all series of a collection are wanted: what a bulk answer
// left out. More would be a crawl, and the bulk is what is tried again. So many at a time; and so
// few are not worth a bulk.
inline constexpr size_t kSinglePatientsMax = 1'000;
inline constexpr size_t kSinglePatientsAtOnceMax = 4;
inline constexpr size_t kFewPatientsMax = 8;

// Texts many rows share, kept at hand while all rows are read.
inline constexpr size_t kSharedTextsAtHandMax = 1'000;

// In memory: listings, and where something failed a moment ago (the oldest are forgotten).
inline constexpr size_t kListingCacheBytes = 32 << 20;
inline constexpr size_t kFailuresRemembered = 10'000;

// Keys of CatalogStore's small memory: those of the index end at 511 bytes, and have a prefix.
inline constexpr size_t kMemoryKeyBytesMax = 500;

}  // namespace tciafs::catalog
