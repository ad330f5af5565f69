// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the head of a DICOM file says of where in an archive it belongs, as leniently read as its
// SOPInstanceUID (head.h). Source: DICOM PS3.6; the collection is what the CTP anonymiser of TCIA
// leaves in its private group 0013. Pure functions.
#pragma once

#include <string>

#include "tciafs/dicom/limits.h"
#include "tciafs/util/bytes.h"
#include "tciafs/util/result.h"

namespace tciafs::dicom {

struct Identity {
  std::string sop;
  std::string series;
  std::string study;  // or "", as are the following
  std::string patient;
  std::string collection;
};

// Of the first kHeadBytesMax bytes, or all there are. kCorrupt: it is no DICOM file, or does not
// tell its series.
Result<Identity> ReadIdentity(ByteView head);

}  // namespace tciafs::dicom
