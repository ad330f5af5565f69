// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Named places where tests make the program fail, die or stop. In the library they do nothing; the
// test program tciafs-fault-points (tests/fault_points) is linked with another definition of the
// one function behind them, so that the installed program has no way to inject anything.
// Thread-safe. Every name stands at one place only: "layer.what".
#pragma once

namespace tciafs {

// Half of what was asked for is done, then the operation fails (or, reading, ends).
inline constexpr int kFaultShort = -1;

// At a call that can fail: 0, or the errno (or kFaultShort) to fail with instead of making it.
int FaultPoint(const char* name);

// Between two steps that a crash may part: the process may end here.
inline void CommitStep(const char* name) { (void)FaultPoint(name); }

}  // namespace tciafs
