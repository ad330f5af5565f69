// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "unit/cache/fault_hook.h"

#include "tciafs/util/fault_point.h"

namespace tciafs {

std::function<int(std::string_view name)>& testing::FaultHook() {
  static std::function<int(std::string_view)> hook;
  return hook;
}

int FaultPoint(const char* name) { return testing::FaultHook() ? testing::FaultHook()(name) : 0; }

}  // namespace tciafs
