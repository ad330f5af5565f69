// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Reads a zip file that is complete on disk (libzip, which uses its central directory). For
// archives a user already has; a zip that is still arriving goes through ZipStream.
//
// Not thread-safe. Errors: kNotFound (no such file), kCorrupt (not a zip, damaged entry, CRC), or
// what the handler returned.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tciafs/util/result.h"
#include "tciafs/zip/zip_stream.h"

namespace tciafs::zip {

// One by one. A handler that returns an error ends its entry there: what is behind is not inflated.
class ZipFile {
 public:
  static Result<std::unique_ptr<ZipFile>> Open(const std::string& path, const ZipLimits& limits);
  virtual ~ZipFile() = default;
  virtual uint64_t entries() const = 0;
  virtual Status ReadEntry(uint64_t index, ZipHandler& handler) = 0;
  virtual Result<int64_t> SizeOf(uint64_t index) const = 0;  // as its header says
};

// Feeds every entry of the file, in the order of its central directory, to the handler.
Status ReadZipFile(const std::string& path, const ZipLimits& limits, ZipHandler& handler);

}  // namespace tciafs::zip
