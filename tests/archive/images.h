// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// NBIA's image downloads: zips of a series, single images, and the MD5 sum of one image. Zips are
// written while they travel and carry the faults of the call. Thread-safe: all state is in the
// Call.
// Source: NBIA's V*_getImage, V*_getImageWithMD5Hash and V*_getSingleImage (CBIIT/NBIA-TCIA).
#pragma once

#include "call.h"

namespace tciafs::archive {

Reply GetImage(const Call& call);
Reply GetImageWithMd5Hash(const Call& call);
Reply GetSingleImage(const Call& call);
Reply GetMd5HashForImage(const Call& call);

std::string Md5Hex(std::string_view bytes);

}  // namespace tciafs::archive
