// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Looks the pages of a data file over before LMDB uses it. LMDB trusts its file: a changed bit in a
// page's structure may end the process, or have pages overwritten that are in use. Here nothing is
// trusted: every tree is walked with all bounds checked, every page has exactly one use, keys are
// in order and the sums are those that are recorded. What keys and values say is not looked at.
// The format is that of LMDB 0.9 (MDB_DATA_VERSION 1), tables without MDB_DUPSORT.
#pragma once

#include <string>
#include <vector>

#include "tciafs/util/result.h"

namespace tciafs::store {

// kCorrupt says what is wrong; also where a page cannot be read. A file that is not there, or
// empty, is fine. `tables` are the only ones that may be in it. Nobody may write to the file
// meanwhile.
Status CheckPages(const std::string& data_file, const std::vector<std::string>& tables);

}  // namespace tciafs::store
