// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Reads the head of a DICOM file into the few tags an archive keeps in its tables. Explicit and
// implicit VR, both byte orders, deflated too. Pure function over untrusted bytes: it never reads
// past them, and what it cannot make sense of ends the reading.
// Source: DICOM PS3.5 section 7, PS3.10 section 7.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tciafs/util/result.h"

namespace tciafs::archive {

inline constexpr size_t kPreambleBytes = 128;  // anything at all; then "DICM"

namespace tags {
inline constexpr uint32_t kTransferSyntax = 0x00020010;
inline constexpr uint32_t kSopClass = 0x00080016;
inline constexpr uint32_t kSopInstance = 0x00080018;
inline constexpr uint32_t kStudyDate = 0x00080020;
inline constexpr uint32_t kSeriesDate = 0x00080021;
inline constexpr uint32_t kModality = 0x00080060;
inline constexpr uint32_t kManufacturer = 0x00080070;
inline constexpr uint32_t kStudyDescription = 0x00081030;
inline constexpr uint32_t kSeriesDescription = 0x0008103e;
inline constexpr uint32_t kModel = 0x00081090;
inline constexpr uint32_t kPatientName = 0x00100010;
inline constexpr uint32_t kPatientId = 0x00100020;
inline constexpr uint32_t kPatientSex = 0x00100040;
inline constexpr uint32_t kPatientAge = 0x00101010;
inline constexpr uint32_t kEthnicGroup = 0x00102160;
inline constexpr uint32_t kBodyPart = 0x00180015;
inline constexpr uint32_t kSliceThickness = 0x00180050;
inline constexpr uint32_t kSoftware = 0x00181020;
inline constexpr uint32_t kProtocol = 0x00181030;
inline constexpr uint32_t kStudyUid = 0x0020000d;
inline constexpr uint32_t kSeriesUid = 0x0020000e;
inline constexpr uint32_t kStudyId = 0x00200010;
inline constexpr uint32_t kSeriesNumber = 0x00200011;
inline constexpr uint32_t kInstanceNumber = 0x00200013;
inline constexpr uint32_t kPixelSpacing = 0x00280030;
inline constexpr uint32_t kLast = kPixelSpacing;
}  // namespace tags

// Values without their padding, by tag; of a multiple value all, with its backslashes.
using TagValues = std::map<uint32_t, std::string>;

// `head` is the beginning of a file with a DICOM preamble, as much of it as is at hand. kCorrupt if
// it has none; a head that breaks off gives the tags before the break.
Result<TagValues> ReadDicomTags(std::string_view head);

}  // namespace tciafs::archive
