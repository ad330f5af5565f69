// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Every limit on what a server may send or make this layer do, in one place, with its reason. Sizes
// are bytes, times milliseconds. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::nbia {

// JSON. A series row is about 850 bytes; a study of the drill-down carries all of its series. The
// whole archive has about a million series, NLST's images are some 26 million but are never asked
// for at once.
inline constexpr size_t kRowBytesMax = size_t{1} << 20;
inline constexpr size_t kNestedRowBytesMax = size_t{16} << 20;
inline constexpr size_t kRowDepthMax = 16;
// Members and elements of one nested row, which is held as a tree of some 60 bytes for each; a
// series of the drill-down has about 20.
inline constexpr size_t kRowValuesMax = 300'000;
inline constexpr size_t kRowsMax = 5'000'000;
inline constexpr size_t kRowAttributesMax = 512;  // the widest row known has 40
// Lists of which every row is kept with all it says (NLST's 26,000 patients are 6 MB); others, of
// which little is kept (the largest known, of 200,000 images, is some 80 MB); and the one that is
// passed on in batches (all of NLST: 180 MB).
inline constexpr size_t kKeptListBytesMax = size_t{32} << 20;
inline constexpr size_t kListBytesMax = size_t{512} << 20;
inline constexpr size_t kBulkBytesMax = size_t{64} << 30;
inline constexpr size_t kSmallBodyBytesMax = size_t{1} << 20;

// Identifiers become names of directories: the database's columns hold 500 at most.
inline constexpr size_t kIdBytesMax = 500;
inline constexpr size_t kUidBytesMax = 64;  // DICOM PS3.5 section 9; the database's columns too
inline constexpr size_t kTimestampBytesMax = 64;  // ISO 8601 to the microsecond has 26

// Numbers that are summed and reserved space for: beyond these one is a mistake and counts as
// unknown. The largest series known has some 100,000 images; the whole archive is below 1 PiB.
inline constexpr int64_t kSeriesImagesMax = 10'000'000;
inline constexpr int64_t kSeriesBytesMax = int64_t{1} << 50;

// What is kept and quoted of an answer that is not what was asked for.
inline constexpr size_t kErrorBodyBytesMax = 4096;
inline constexpr size_t kQuotedCharactersMax = 80;

// Flow control between the network thread and the worker that parses or inflates.
inline constexpr size_t kQueuedBytesHigh = size_t{4} << 20;
inline constexpr size_t kQueuedBytesLow = kQueuedBytesHigh / 2;

// Listings.
inline constexpr size_t kBatchRecords = 1000;

// Drill-down. The reference proxy refuses bodies over 10 MB, the server splits at 5,000 keys.
inline constexpr size_t kFormBodyBytesMax = size_t{4'000'000};
inline constexpr size_t kSeriesKeysMax = 5000;
inline constexpr int64_t kImagesPerRequestMax = 200'000;  // some 80 MB of JSON
inline constexpr size_t kPatientSearchesMax = 8;          // more patients: search the collection
inline constexpr size_t kFailedBatchesMax = 64;           // per call, while halving
inline constexpr int64_t kFormRetryMs = 3'600'000;        // a form that is missing may come back
inline constexpr int kFormFailuresMax = 3;                // in a row, then it counts as missing

// Downloads.
inline constexpr size_t kMd5ListBytesMax = size_t{64} << 20;     // a million entries
inline constexpr size_t kMd5LineBytesMax = 1024;                 // real ones have about 46
inline constexpr size_t kMd5LinesBesideMax = 1000;               // beyond one for each image
inline constexpr int64_t kImageBytesMax = int64_t{64} << 30;     // as for one entry of a zip
inline constexpr size_t kEntryNameBytesMax = 512;                // real ones have about 12
inline constexpr size_t kEntryNamesBytesMax = size_t{64} << 20;  // of one zip, remembered
inline constexpr size_t kSkippedEntriesMax = 10'000;  // beyond as many as there are images
// What a zip may hold besides images and their sums, inflated: licences are a few KB, and what is
// passed over a reader waits for in vain.
inline constexpr uint64_t kSkippedBytesMax = uint64_t{1} << 30;
inline constexpr size_t kPlainFormSeriesMax = 10'000;  // series remembered to need the plain form

// Tokens. Lives from 300 to 7200 s are known; a server that does not tell gets the shortest.
inline constexpr int64_t kTokenLifeDefaultMs = 300'000;
inline constexpr int64_t kTokenLifeMaxMs = 86'400'000;
inline constexpr int64_t kTokenMarginMs = 30'000;
inline constexpr int64_t kTokenProofMs = 30'000;  // so long after it worked a token is not doubted
inline constexpr int64_t kRejectionMemoryMs =
    60'000;  // wrong passwords lock accounts: do not insist
// A login is used after half the time it may go unused (1800 s are known), and once more if its
// server fails just then.
inline constexpr int64_t kLoginLifeMinS = 2;
inline constexpr int64_t kLoginLifeMaxS = 86'400;
inline constexpr int64_t kLoginRetryMs = 60'000;
inline constexpr size_t kTokenBytesMax = 64 * 1024;

// A family that was settled by asking is not doubted again before this.
inline constexpr int64_t kSettledAtLeastMs = 60'000;

}  // namespace tciafs::nbia
