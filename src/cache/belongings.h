// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What in a directory is the cache's own, and what is somebody else's and only has the same name.
// Nothing else than the first is ever removed.
#pragma once

#include "cache/disk.h"
#include "cache/layout.h"

namespace tciafs::cache {

// Fails where names of a cache stand for something else. FORMAT, the lock and the seal of the index
// each say that a directory is a cache; where a crash left none of them, all that is there has to
// look like a cache's.
Status CheckBelongings(const Layout& layout);

// The images of all series, also of those the index does not know.
Status RemoveImages(Disk& disk, const Layout& layout);

}  // namespace tciafs::cache
