// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the command line, the environment and the user's files may hold, with the reason of each.
// Sizes are bytes. Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::cli {

// Files that are read whole. A configuration has a few hundred bytes, a netrc some thousands; more
// is the wrong file, or a device without end.
inline constexpr size_t kConfigFileBytesMax = size_t{1} << 20;
inline constexpr size_t kSecretFileBytesMax = size_t{1} << 20;

// A line that is typed.
inline constexpr size_t kSecretLineBytesMax = 4096;

// A key goes into a header line of every request.
inline constexpr size_t kApiKeyBytesMax = 4096;

// Each server has its own connections, tokens and directory of collections; two are known.
inline constexpr size_t kServersMax = 64;
// Who asks whom is part of keys of the index (catalog::kMemoryKeyBytesMax; the cache takes more),
// a name in percent-encoding, which may treble it. Real roots have some 50 bytes, names some 30.
inline constexpr size_t kServerUrlBytesMax = 200;
inline constexpr size_t kUserNameBytesMax = 80;

// Processes whose refused downloads were logged, so that each is told once: more than run at once.
inline constexpr size_t kProgramsToldMax = 64;

// Symbolic links on the way to a mountpoint: as many as the kernel follows.
inline constexpr int kLinksMax = 40;

// What a mount answers from memory. One that takes longer is stuck.
inline constexpr int64_t kStatusWaitMaxMs = 10'000;
// For an answer of all servers together when the doctor asks: enough for one that is slow.
inline constexpr int64_t kDoctorPatienceMs = 15'000;
// Between two answers to anything else: an archive's longest silence (--io-timeout), retried.
inline constexpr int64_t kAnswerWaitMaxMs = 600'000;

// Of what is imported: files named as unreadable, names that may be that of a collection, how deep
// directories go (each is a frame of the stack), and a list of MD5 sums (a million of them).
inline constexpr size_t kImportFailuresToldMax = 100;
inline constexpr size_t kImportHintsMax = 100;
inline constexpr size_t kImportDepthMax = 64;
inline constexpr size_t kImportMd5ListBytesMax = size_t{64} << 20;

}  // namespace tciafs::cli
