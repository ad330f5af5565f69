// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the fault points of the cache do in its unit tests: nothing, unless a test says otherwise.
// To be set while no other thread is at one.
#pragma once

#include <functional>
#include <string_view>

namespace tciafs::testing {

std::function<int(std::string_view name)>& FaultHook();

}  // namespace tciafs::testing
