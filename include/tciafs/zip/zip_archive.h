// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Reads a zip file that is complete on disk (libzip, which uses its central directory). For
// archives a user already has; a zip that is still arriving goes through ZipStream.
//
// Not thread-safe. Errors: kNotFound (no such file), kCorrupt (not a zip, damaged entry, CRC), or
// what the handler returned.
#pragma once

#include <string>

#include "tciafs/util/result.h"
#include "tciafs/zip/zip_stream.h"

namespace tciafs::zip {

// Feeds every entry of the file, in the order of its central directory, to the handler.
Status ReadZipFile(const std::string& path, const ZipLimits& limits, ZipHandler& handler);

}  // namespace tciafs::zip
