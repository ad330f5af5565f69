// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How far the head of a DICOM file is looked into, with the reason of each. Sizes are bytes.
// Constants only.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tciafs::dicom {

// Enough for every head seen; a file that hides its UID further in is taken for no DICOM.
inline constexpr size_t kHeadBytesMax = size_t{256} << 10;

// Of sequences in sequences; real ones stay below ten. Each costs a frame of the stack.
inline constexpr int kDepthMax = 32;

// A UID has at most 64 characters (PS3.5 section 9). Values longer than one with generous padding
// are none.
inline constexpr size_t kUidCharsMax = 64;
inline constexpr uint32_t kUidValueBytesMax = 256;

}  // namespace tciafs::dicom
