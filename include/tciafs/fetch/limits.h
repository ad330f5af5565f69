// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The bounds of fetching: how often, how much, how long. Everything an archive can send or a reader
// can ask for meets one of these. Units are in the names. Plain constants.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tciafs/cache/block_cache.h"

namespace tciafs::fetch {

// A broken stream is tried twice more: enough for a restarted server, short of hammering a dead
// one.
inline constexpr int kStreamRetriesMax = 2;
inline constexpr int64_t kRetryFirstMs = 1'000;  // then four times as long, with jitter
// Streams that came to a good end and still left something out: the first and one more.
inline constexpr int kWholeStreamsMax = 2;

// Single images of one series: each costs the archive a request, so they only fill gaps.
inline constexpr size_t kSinglesMax = 64;
inline constexpr size_t kSinglesAtOnce = 2;
// A series that lacks at most this share (and at least one) is completed by single images first.
inline constexpr int64_t kNearlyCompleteShare = 16;

// Of the instances a whole series lacks so many are named.
inline constexpr size_t kMissingToldMax = 64;

// Somebody else writes this series (an import): half a minute in all.
inline constexpr int64_t kBusyRetryMs = 200;
inline constexpr int kBusyRetriesMax = 150;

// How long an instance that ended is held back for what follows it (see intake.h).
inline constexpr int64_t kHoldMs = 500;

// A stream may exceed what was announced by half and this much (figures drift), not more: an entry
// that inflates without end is noticed before it has evicted the whole of a small cache.
inline constexpr int64_t kExcessBytesMax = int64_t{8} << 20;
inline constexpr int64_t kExcessInstancesMax = 1'000;
// Where nothing was announced: beyond any series known.
inline constexpr int64_t kUnannouncedBytesMax = int64_t{1} << 40;
inline constexpr int64_t kUnannouncedInstancesMax = 1'000'000;

// What a stream may be ahead of the summing and writing of it: half of it is passed on while the
// other half fills, and each half holds about as many slices of the usual half MiB as are summed
// side by side. So that they are, what is whole waits for others, but not for long. Pieces begin
// and end where the cache's blocks do: the first of an instance is its head, the others are whole
// blocks, which are written as they are.
inline constexpr size_t kQueueBytesMax = size_t{8} << 20;
inline constexpr int64_t kQueueHoldMs = 5;
inline constexpr size_t kQueueHeadBytes = static_cast<size_t>(cache::kInstanceHeadBytes);
inline constexpr size_t kQueuePieceBytes = size_t{128} << 10;

// What is fetched ahead must leave this share of the free space, and so much for each instance
// (its file's last disk block, its index).
inline constexpr int64_t kAheadSpareShare = 8;
inline constexpr int64_t kAheadBytesPerInstance = 8 << 10;

// Readers that wait, of all series together: more threads than most machines allow. Each is an
// object of below 2 KiB, and no thread here.
inline constexpr size_t kWaitersMax = 100'000;

inline constexpr size_t kFailuresMax = 10'000;  // remembered; the oldest go first
inline constexpr int64_t kTimeOutMemoryMs = 1'000;
// An instance the archive keeps leaving out is asked for ever less often, down to this.
inline constexpr int64_t kLeftOutMemoryMsMax = 3'600'000;

// While downloads are queued, how often at most the running ones are looked at for an idle one.
inline constexpr int64_t kIdleCheckMsMin = 500;

}  // namespace tciafs::fetch
