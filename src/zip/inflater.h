// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Inflater: raw DEFLATE (RFC 1951) bytes in, in pieces of any size, inflated bytes out. Two
// implementations that accept the same well-formed streams: ISA-L where it was compiled in (its own
// dispatch picks what the CPU has), zlib everywhere.
//
// Not thread-safe: one thread at a time. Views are borrowed for the call only.
// Errors: kCorrupt (not a DEFLATE stream), kInternal (no memory).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::zip {

struct InflateStep {
  size_t consumed_bytes = 0;
  size_t produced_bytes = 0;
  bool finished = false;  // the stream has ended and everything in it was handed out
};

class Inflater {
 public:
  virtual ~Inflater() = default;

  // Begins a new stream; whatever was left of the last one is forgotten.
  virtual Status Reset() = 0;

  // Takes from `in`, fills `out` (not empty). Less than a full `out` means that nothing more can
  // come without further input.
  virtual Result<InflateStep> Inflate(ByteView in, std::span<std::byte> out) = 0;

  // Once finished: the bytes after the stream's end that were consumed with it, at most 8; they
  // belong to whoever reads on. Valid until the next call.
  virtual ByteView Unread() const = 0;
};

enum class InflaterKind { kFastest, kZlib };

std::unique_ptr<Inflater> MakeInflater(InflaterKind kind);

}  // namespace tciafs::zip
