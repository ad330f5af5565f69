// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "fault_plan.h"
#include "tciafs/util/fault_point.h"

namespace tciafs {

int FaultPoint(const char* name) { return testing::FaultPlan::OfProcess().Hit(name); }

}  // namespace tciafs
