// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The data of one entry after the other: passed through or inflated, counted, held to the limits,
// summed up, and handed on. It begins after the local header and ends before the data descriptor,
// if there is one; records are not its business.
//
// Not thread-safe. Borrows the handler. Errors: kCorrupt (a limit, data that is no DEFLATE stream
// or does not agree with its header), or what the handler returned.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"
#include "tciafs/zip/zip_stream.h"
#include "zip/inflater.h"
#include "zip/zip_records.h"

namespace tciafs::zip {

class EntryPayload {
 public:
  EntryPayload(ZipHandler& handler, const ZipLimits& limits, std::unique_ptr<Inflater> inflater);

  // The entry's begin; `number` counts from 1 and is for messages.
  Status Begin(LocalHeader header, uint64_t number);
  // Takes data from `in`. True: it has ended, and agrees with its header as far as that goes;
  // false: all of `in` is taken and there is more to come.
  Result<bool> Take(ByteView& in);
  // What the inflater took beyond the end, at most 8 bytes; until the next Begin.
  ByteView Unread() const;
  // CRC and sizes have been compared with what the archive says.
  Status End();

  const LocalHeader& header() const { return header_; }
  uint64_t compressed_bytes() const { return compressed_bytes_; }
  uint64_t size_bytes() const { return size_bytes_; }
  uint32_t crc32() const { return crc32_; }

  // "zip entry 12 '1-001.dcm'"
  std::string Label() const;
  tl::unexpected<Error> Damaged(std::string_view what) const;

 private:
  Status CheckReadable() const;
  Status CheckDeclaredSizes() const;
  Result<bool> TakeStored(ByteView& in);
  Result<bool> TakeDeflated(ByteView& in);
  // One call of the inflater; true at the stream's end.
  Result<bool> InflateSome(ByteView& in);
  Result<bool> CheckEnd() const;
  Status Emit(ByteView piece);
  uint64_t DeclaredLeftBytes() const { return header_.compressed_bytes - compressed_bytes_; }

  ZipHandler& handler_;
  const ZipLimits limits_;
  const std::unique_ptr<Inflater> inflater_;

  std::unique_ptr<std::byte[]> output_;  // of the inflater; made when first needed
  uint64_t total_bytes_ = 0;             // of all entries

  // The current entry.
  LocalHeader header_;
  uint64_t number_ = 0;
  bool are_sizes_known_ = false;
  bool is_deflated_ = false;
  bool was_output_full_ = false;
  uint64_t compressed_bytes_ = 0;
  uint64_t size_bytes_ = 0;
  uint32_t crc32_ = 0;
};

}  // namespace tciafs::zip
