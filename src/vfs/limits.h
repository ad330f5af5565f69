// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What one mount shows and remembers at most, with the reason of each. Sizes are bytes. Constants
// only.
//
// Nodes, open files and open directories have no limit here: the kernel holds an object of its own
// for each, and bounds them by its memory (nodes), by fs.file-max and by each program's
// RLIMIT_NOFILE. The descriptors behind open files are shared by all who read the same instance;
// they end at our own RLIMIT_NOFILE, which is raised as far as it goes. Open directories share the
// listing they were opened with; one that holds on to an old listing keeps its memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::vfs {

// XATTR_NAME_MAX, XATTR_SIZE_MAX and XATTR_LIST_MAX of Linux: what is longer could not be read.
inline constexpr size_t kXattrNameBytesMax = 255;
inline constexpr size_t kXattrValueBytesMax = 65'536;
inline constexpr size_t kXattrListBytesMax = 65'536;

// Listings kept for readers that do not open directories. A reader whose listing has gone goes on
// in the present one, if that is the same.
inline constexpr size_t kDirectoryReadingsMax = 64;

// Instances kept open for readers that do not open files, and for how long after a read: as many as
// are read at once by a machine's cores; a scan goes through them in far less time.
inline constexpr size_t kRecentFilesMax = 64;
inline constexpr int64_t kRecentFileMs = 2'000;

// Records of series kept at hand: as many as are read side by side. A few KiB each.
inline constexpr size_t kRecentSeriesMax = 8;

// Readers that go through the series of a study side by side, each in another study. The instances
// of one series are remembered while it is read.
inline constexpr size_t kStudiesFollowedMax = 8;
inline constexpr size_t kSeriesFollowedMax = 8;  // of a study, fetched and not read through yet

// In status.json: a screen or two, each a path and a reason of so many bytes.
inline constexpr size_t kRecentErrorsMax = 64;
inline constexpr size_t kErrorTextBytesMax = 1'024;

// A table of .tcia is no wider than a hundred times the widest row known.
inline constexpr size_t kTableColumnsMax = 4'096;

// Of an estimated size. More than any instance has: a nonsensical total must not overflow what
// programs allocate by.
inline constexpr int64_t kEstimateBytesMax = int64_t{1} << 40;

}  // namespace tciafs::vfs
