// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// NBIA's image downloads: zips of a series, single images, and the MD5 sums of an image or a
// series. Zips are written while they travel and carry the faults of the call. Thread-safe: all
// state is in the Call.
// Source: NBIA's V*_getImage, V*_getImageWithMD5Hash, V*_getSingleImage and GetMD5Heirarchy
// (CBIIT/NBIA-TCIA).
#pragma once

#include "call.h"

namespace tciafs::archive {

Reply GetImage(const Call& call);
Reply GetImageWithMd5Hash(const Call& call);
Reply GetSingleImage(const Call& call);
Reply GetMd5HashForImage(const Call& call);
Reply GetMd5Hierarchy(const Call& call);

std::string Md5Hex(std::string_view bytes);

}  // namespace tciafs::archive
