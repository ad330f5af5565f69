// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The Inflater over ISA-L's igzip, present where the build defines TCIAFS_HAVE_ISAL. Ownership,
// thread-safety and errors: see inflater.h.
#pragma once

#include <memory>

#include "zip/inflater.h"

namespace tciafs::zip {

std::unique_ptr<Inflater> MakeIsalInflater();

}  // namespace tciafs::zip
