// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The content of /.tcia/metrics: counters and gauges in the text format of Prometheus, version
// 0.0.4 (man/tciafs.1 has the names). Thread-safe; never touches the network.
#pragma once

#include <string>

#include "vfs/context.h"

namespace tciafs::vfs {

std::string MetricsReport(const Context& context);

}  // namespace tciafs::vfs
