// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The one place where return codes of LMDB (MDB_* below zero, errno above) become Errc. Pure.
#pragma once

#include <string_view>

#include "tciafs/util/result.h"

namespace tciafs::store {

Error LmdbError(int code, std::string_view context);

}  // namespace tciafs::store
