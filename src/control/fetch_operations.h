// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The requests that bring series here, or keep them (tciafs/control/operations.h).
#pragma once

#include "tciafs/control/operations.h"

namespace tciafs::control {

Status FetchPaths(const Mounted& mounted, const Message& request, Answers& answers);
Status PinPaths(const Mounted& mounted, const Message& request, Answers& answers);
Status UnpinPaths(const Mounted& mounted, const Message& request, Answers& answers);

}  // namespace tciafs::control
