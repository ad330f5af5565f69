// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What is done to the cache of a mount at a person's request (tciafs/control/operations.h tells
// what goes in and comes out). Sizes are bytes, times unix milliseconds. Thread-safe; they block.
#pragma once

#include "tciafs/control/operations.h"

namespace tciafs::control {

Status TellCache(const Mounted& mounted, const Message& request, Answers& answers);
Status ListCache(const Mounted& mounted, const Message& request, Answers& answers);
Status VerifyCache(const Mounted& mounted, const Message& request, Answers& answers);
Status EvictFromCache(const Mounted& mounted, const Message& request, Answers& answers);
Status ClearCache(const Mounted& mounted, const Message& request, Answers& answers);

}  // namespace tciafs::control
