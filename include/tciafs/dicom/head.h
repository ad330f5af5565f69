// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Finds the SOPInstanceUID in the first bytes of a DICOM file: (0008,0018) of the data set, in
// explicit or implicit VR, either byte order, with or without the 128-byte preamble; where the data
// set does not tell, (0002,0003) of the file meta information. The two differ in some real files,
// and it is the data set's that archives index. Reads nothing else and never pixel data. Lenient
// where archives are: lengths of groups are not believed, nor the transfer syntax where the first
// data element shows another one; a UID is whatever can name a file (1 to 64 printable ASCII
// characters, no '/'), without its padding. Source: DICOM PS3.5 section 7 (data elements), PS3.10
// section 7 (file meta). Pure functions.
#pragma once

#include <optional>
#include <string>

#include "tciafs/dicom/limits.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::dicom {

// The UID; or nullopt when `head` is too short to tell and more may come (`complete` false); or
// kCorrupt when this is no DICOM file or has no SOPInstanceUID.
Result<std::optional<std::string>> FindSopInstanceUid(ByteView head, bool complete);

}  // namespace tciafs::dicom
