// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the private channel of a mount takes, with the reason of each. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::control {

// The longest line is status.json, some 400 bytes for each download, server and failure it tells.
inline constexpr size_t kLineBytesMax = size_t{4} << 20;
// As many paths as a command line of the usual 2 MB can name.
inline constexpr size_t kFieldsMax = 100'000;
// Each takes a thread; a person has a few windows open, a script perhaps a loop.
inline constexpr size_t kRequestsMax = 32;
// Series one request has under way or in the queue at once; more wait with the request.
inline constexpr int kJobsMax = 64;
// Between connecting and asking: both are done by one program, one after the other.
inline constexpr int64_t kRequestWaitMaxMs = 5'000;
// For a program that does not read what it has asked for: a terminal that was paused.
inline constexpr int64_t kSendWaitMaxMs = 60'000;

// Between two answers that only tell how far something has come: often enough for a bar.
inline constexpr int64_t kProgressPauseMs = 200;

// What is waited for is told after this, and told again: sooner is no wait to a person.
inline constexpr int64_t kWaitingPauseMs = 1'000;

// Instances one import may offer: more than any series has.
inline constexpr size_t kOffersMax = 1'000'000;
// And of one of them, for sums: DICOM elements end at 4 GiB.
inline constexpr int64_t kOfferBytesMax = int64_t{1} << 40;
// How long an importing command may need for the next piece: a file on a disk that has to wake up.
inline constexpr int64_t kImportWaitMaxMs = 60'000;
inline constexpr size_t kImportPieceBytes = size_t{256} << 10;
// MD5 sums asked of an archive at once; its connections are shared with all readers.
inline constexpr size_t kMd5AtOnce = 8;

}  // namespace tciafs::control
