// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A push parser for a zip that is still arriving: bytes in, in pieces of any size; entries out as
// events, inflated and CRC-checked. No I/O, no seeking, memory bounded by ZipLimits.
//
// Understands what java.util.zip.ZipOutputStream writes and its neighbours: DEFLATE and STORED,
// sizes in the local header or in a data descriptor (with or without signature, 32 or 64 bit),
// zip64, any entry order, any names. A STORED entry whose size is not in its local header cannot be
// delimited in a stream and is refused. Source: PKWARE APPNOTE.TXT 6.3.9, RFC 1951.
//
// Not thread-safe: one thread at a time. The handler is borrowed and must outlive the parser.
// Errors: kCorrupt (what is not a well-formed zip, a wrong CRC, a limit passed), or what the
// handler returned; after an error the parser stays failed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"
#include "tciafs/zip/limits.h"

namespace tciafs::zip {

struct ZipLimits {
  uint64_t entries_max = kEntriesMax;
  uint64_t entry_bytes_max = kEntryBytesMax;  // inflated
  uint64_t total_bytes_max = kTotalBytesMax;  // inflated
  uint32_t name_bytes_max = kNameBytesMax;
};

struct EntryEnd {
  uint64_t size_bytes = 0;  // inflated
  uint32_t crc32 = 0;       // verified against the archive's
};

class ZipHandler {
 public:
  virtual ~ZipHandler() = default;
  virtual Status OnEntryBegin(const std::string& name) = 0;
  virtual Status OnEntryData(ByteView bytes) = 0;
  // The entry is whole and its CRC-32 matched. A mismatch never comes here: it fails Push.
  virtual Status OnEntryEnd(const EntryEnd& end) = 0;
};

class Inflater;  // src/zip/inflater.h

class ZipStream {
 public:
  ZipStream(ZipHandler& handler, const ZipLimits& limits);
  // With a given inflater instead of the fastest there is.
  ZipStream(ZipHandler& handler, const ZipLimits& limits, std::unique_ptr<Inflater> inflater);
  ~ZipStream();

  Status Push(ByteView bytes);
  // The source has ended. kCorrupt if it ended inside an entry, or without the
  // end-of-central-directory record (a connection that was merely closed looks like that).
  Status Finish();

  // Entries that have ended well so far.
  uint64_t entries() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tciafs::zip
