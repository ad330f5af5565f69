// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The status of a mount as messages: one each for the mount and its cache, and one for every
// server, download and failure. Times are unix milliseconds; what is unknown is not in the message.
#pragma once

#include <vector>

#include "tciafs/control/message.h"
#include "tciafs/vfs/status.h"

namespace tciafs::control {

std::vector<Message> StatusMessages(const vfs::MountStatus& status);

}  // namespace tciafs::control
