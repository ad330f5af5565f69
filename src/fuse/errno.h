// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The one place where our error codes become the kernel's. Pure function.
#pragma once

#include "tciafs/util/result.h"

namespace tciafs::fuse {

int ToErrno(Errc code);

}  // namespace tciafs::fuse
