// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Writes a zip as java.util.zip.ZipOutputStream does, onto a stream that cannot seek: every entry
// DEFLATEd, with zero CRC and sizes in its local header (general purpose bit 3), a signed data
// descriptor behind its data, and zip64 records only where a number does not fit otherwise.
// On request it writes damaged zips. Belongs to one thread; the sink is borrowed.
// Source: PKWARE APPNOTE 6.3, OpenJDK ZipOutputStream.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "exchange.h"

namespace tciafs::archive {

// What is to be wrong with an entry.
struct EntryDamage {
  bool wrong_crc = false;        // the CRC written is not that of the data
  bool flip_compressed = false;  // one byte of the compressed data is flipped
};

class ZipOutput {
 public:
  ZipOutput(BodySink& sink, int level);
  ~ZipOutput();
  ZipOutput(const ZipOutput&) = delete;
  ZipOutput& operator=(const ZipOutput&) = delete;

  // All return false once the sink has refused; the zip is then beyond repair.
  bool BeginEntry(std::string name, EntryDamage damage = {});
  bool Write(std::string_view bytes);
  bool EndEntry();
  bool AddEntry(std::string name, std::string_view bytes, EntryDamage damage = {});
  bool Finish();

 private:
  struct Entry {
    std::string name;
    uint32_t crc = 0;
    uint64_t size = 0;
    uint64_t compressed_size = 0;
    uint64_t offset = 0;
  };

  bool Deflate(std::string_view bytes, int flush);
  bool Flush();
  void AppendCentralRecord(const Entry& entry);
  void AppendEndRecords(uint64_t directory_offset, uint64_t directory_size);
  uint64_t offset() const { return flushed_bytes_ + pending_.size(); }

  BodySink& sink_;
  z_stream deflate_{};
  bool usable_ = true;
  std::string pending_;
  uint64_t flushed_bytes_ = 0;
  EntryDamage damage_;
  std::vector<Entry> entries_;
};

}  // namespace tciafs::archive
