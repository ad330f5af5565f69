// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Takes a series that the client has into the cache. The client reads its own files: this process
// may not see them, and what is in them is not its to parse. After the request the client offers
// what it has, waits to be told to go on, and then sends the bytes:
//
//   > offer sop= size_bytes= [md5=]  (for each instance)
//   > offered
//   < here path=       (the end: it is in the cache already, verified)
//   < accepted path=
//   > instance sop= size_bytes=, and so many bytes  (for each)
//   > end
//   < imported path= instances= size_bytes= sums=<MD5 sums that the archive told>
//
// kCorrupt: it is not what the archive has. kNotFound: the archive's lists do not have it.
#pragma once

#include "tciafs/control/operations.h"

namespace tciafs::control {

Status ImportSeries(const Mounted& mounted, const Message& request, Answers& answers);

}  // namespace tciafs::control
