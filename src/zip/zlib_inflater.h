// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The Inflater over zlib's inflate. Ownership, thread-safety and errors: see inflater.h.
#pragma once

#include <memory>

#include "zip/inflater.h"

namespace tciafs::zip {

std::unique_ptr<Inflater> MakeZlibInflater();

}  // namespace tciafs::zip
