// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "zip/inflater.h"

#include "zip/zlib_inflater.h"
#ifdef TCIAFS_HAVE_ISAL
#include "zip/isal_inflater.h"
#endif

namespace tciafs::zip {

std::unique_ptr<Inflater> MakeInflater(InflaterKind kind) {
#ifdef TCIAFS_HAVE_ISAL
  if (kind == InflaterKind::kFastest) return MakeIsalInflater();
#else
  static_cast<void>(kind);
#endif
  return MakeZlibInflater();
}

}  // namespace tciafs::zip
