// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The one place where errno of the cache's disk becomes Errc. Pure.
#pragma once

#include <string_view>

#include "tciafs/util/result.h"

namespace tciafs::cache {

// kNoSpace, kPermission, kNotFound, kBusy (out of descriptors or memory: says nothing about the
// disk), kInternal.
Error DiskError(int error_number, std::string_view context);

// Whether an operation that failed so will fail again: the disk, not the moment, is at fault.
bool BlamesDisk(const Error& error);

}  // namespace tciafs::cache
