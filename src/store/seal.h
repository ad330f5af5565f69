// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The seal of an environment that was closed well: the size and the hash of its data file, in the
// file "seal" beside it. It is there only while nobody has the environment open. Used by one thread
// at a time, before the environment is opened and after it was closed.
#pragma once

#include <string>

#include "tciafs/util/result.h"

namespace tciafs::store {

enum class Seal { kAbsent, kFits, kBroken };

// kBroken: the data file is not what was sealed (or cannot be read), so bytes have changed on the
// disk. A seal that is itself damaged, or has lost its file, counts as absent. Fails where it
// cannot be told, as for want of descriptors.
Result<Seal> CompareSeal(const std::string& directory);
// Waits until it is gone on the disk, too: what is written from now on does not fit it any more.
Status RemoveSeal(const std::string& directory);
Status WriteSeal(const std::string& directory);

}  // namespace tciafs::store
