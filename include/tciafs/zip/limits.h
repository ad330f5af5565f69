// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a zip may hold, with the reason of each. Sizes are bytes. Constants only. Who reads a zip
// may set lower ones (ZipLimits).
#pragma once

#include <cstdint>

namespace tciafs::zip {

// Far beyond what an archive serves as one series: the largest known have some 100,000 images and
// some hundred GB; DICOM elements end at 4 GiB.
inline constexpr uint64_t kEntriesMax = 1'000'000;
inline constexpr uint64_t kEntryBytesMax = uint64_t{64} << 30;  // inflated
inline constexpr uint64_t kTotalBytesMax = uint64_t{1} << 40;   // inflated
inline constexpr uint32_t kNameBytesMax = 4096;                 // PATH_MAX of Linux

// Of the data that zip64 allows in its end record; nobody writes any.
inline constexpr uint64_t kZip64EndVariableBytesMax = uint64_t{64} << 10;
// Of the archive extra data record, which belongs to encrypted directories.
inline constexpr uint64_t kArchiveExtraBytesMax = uint64_t{64} << 10;

}  // namespace tciafs::zip
