// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Builds zips in memory, byte by byte under the test's control: by default what
// java.util.zip.ZipOutputStream writes (DEFLATE, sizes in a data descriptor), on demand the other
// legal layouts, and damaged ones. Not thread-safe. Link zlib.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace tciafs::testing {

struct ZipEntryOptions {
  bool stored = false;
  bool has_descriptor = true;  // bit 3: sizes come after the data, the header's are 0
  bool has_descriptor_signature = true;
  bool is_descriptor_wide = false;   // sizes of 64 bits
  bool has_zip64_field = false;      // sizes of the local header in its extra field
  bool are_sizes_in_header = false;  // although a descriptor follows
  std::string extra = {};            // further extra fields, raw
  uint32_t crc_xor = 0;              // damages the recorded CRC
  int64_t size_delta = 0;            // falsifies the recorded sizes
  int64_t compressed_delta = 0;
  uint16_t more_flags = 0;
  std::optional<uint16_t> method = {};
  std::optional<std::string> compressed = {};  // the DEFLATE stream to use, of the given content
};

struct ZipEndOptions {
  std::string comment = {};
  bool zip64 = false;
  int64_t entries_delta = 0;  // falsifies the numbers of the end records
  int64_t offset_delta = 0;
  int64_t directory_delta = 0;
};

// A raw DEFLATE stream.
inline std::string Deflate(std::string_view content, int level = Z_DEFAULT_COMPRESSION) {
  z_stream stream = {};
  deflateInit2(&stream, level, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()) + 16, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

inline uint32_t Crc32Of(std::string_view content) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size()));
}

class ZipWriter {
 public:
  ZipWriter& Add(const std::string& name, std::string_view content,
                 const ZipEntryOptions& options = {}) {
    const std::string data = options.compressed ? *options.compressed
                             : options.stored   ? std::string(content)
                                                : Deflate(content);
    const uint32_t crc = Crc32Of(content) ^ options.crc_xor;
    const uint64_t size = content.size() + options.size_delta;
    const uint64_t compressed = data.size() + options.compressed_delta;
    const uint64_t offset = bytes_.size();
    AddLocalHeader(name, crc, compressed, size, options);
    bytes_ += data;
    if (options.has_descriptor) AddDescriptor(crc, compressed, size, options);
    AddCentralHeader(name, crc, compressed, size, offset, options);
    ++entries_;
    return *this;
  }

  // The entries so far; no directory, no end.
  const std::string& bytes() const { return bytes_; }

  std::string Finish(const ZipEndOptions& options = {}) const {
    std::string zip = bytes_ + directory_;
    const uint64_t entries = entries_ + options.entries_delta;
    const uint64_t directory = directory_.size() + options.directory_delta;
    const uint64_t offset = bytes_.size() + options.offset_delta;
    if (options.zip64) {
      const uint64_t zip64_offset = zip.size();
      Put(zip, 4, 0x06064b50);
      Put(zip, 8, 44);
      Put(zip, 2, 45);
      Put(zip, 2, 45);
      Put(zip, 4, 0);
      Put(zip, 4, 0);
      for (const uint64_t number : {entries, entries, directory, offset}) Put(zip, 8, number);
      Put(zip, 4, 0x07064b50);
      Put(zip, 4, 0);
      Put(zip, 8, zip64_offset);
      Put(zip, 4, 1);
    }
    Put(zip, 4, 0x06054b50);
    Put(zip, 4, 0);
    for (int i = 0; i < 2; ++i) Put(zip, 2, options.zip64 ? 0xffff : entries);
    Put(zip, 4, options.zip64 ? 0xffffffff : directory);
    Put(zip, 4, options.zip64 ? 0xffffffff : offset);
    Put(zip, 2, options.comment.size());
    return zip + options.comment;
  }

  static void Put(std::string& to, int width_bytes, uint64_t value) {
    for (int i = 0; i < width_bytes; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
  }

 private:
  static uint16_t Method(const ZipEntryOptions& options) {
    return options.method.value_or(options.stored ? 0 : 8);
  }
  static void PutCommon(std::string& to, const ZipEntryOptions& options) {
    Put(to, 2, 20);
    Put(to, 2, (options.has_descriptor ? 8 : 0) | options.more_flags);
    Put(to, 2, Method(options));
    Put(to, 4, 0x5a210000);  // 2025-01-01
  }

  void AddLocalHeader(const std::string& name, uint32_t crc, uint64_t compressed, uint64_t size,
                      const ZipEntryOptions& options) {
    const bool shows_sizes = !options.has_descriptor || options.are_sizes_in_header;
    std::string extra = options.extra;
    if (options.has_zip64_field) {
      Put(extra, 2, 1);
      Put(extra, 2, 16);
      Put(extra, 8, shows_sizes ? size : 0);
      Put(extra, 8, shows_sizes ? compressed : 0);
    }
    Put(bytes_, 4, 0x04034b50);
    PutCommon(bytes_, options);
    Put(bytes_, 4, shows_sizes ? crc : 0);
    Put(bytes_, 4, options.has_zip64_field ? 0xffffffff : shows_sizes ? compressed : 0);
    Put(bytes_, 4, options.has_zip64_field ? 0xffffffff : shows_sizes ? size : 0);
    Put(bytes_, 2, name.size());
    Put(bytes_, 2, extra.size());
    bytes_ += name + extra;
  }

  void AddDescriptor(uint32_t crc, uint64_t compressed, uint64_t size,
                     const ZipEntryOptions& options) {
    if (options.has_descriptor_signature) Put(bytes_, 4, 0x08074b50);
    Put(bytes_, 4, crc);
    Put(bytes_, options.is_descriptor_wide ? 8 : 4, compressed);
    Put(bytes_, options.is_descriptor_wide ? 8 : 4, size);
  }

  void AddCentralHeader(const std::string& name, uint32_t crc, uint64_t compressed, uint64_t size,
                        uint64_t offset, const ZipEntryOptions& options) {
    Put(directory_, 4, 0x02014b50);
    Put(directory_, 2, 20);
    PutCommon(directory_, options);
    Put(directory_, 4, crc);
    Put(directory_, 4, compressed);
    Put(directory_, 4, size);
    Put(directory_, 2, name.size());
    Put(directory_, 2, options.extra.size());
    Put(directory_, 2, 0);  // comment
    Put(directory_, 2, 0);  // disk
    Put(directory_, 2, 0);
    Put(directory_, 4, 0);  // attributes
    Put(directory_, 4, offset);
    directory_ += name + options.extra;
  }

  std::string bytes_;
  std::string directory_;
  uint64_t entries_ = 0;
};

}  // namespace tciafs::testing
