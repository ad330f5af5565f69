// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The log says nothing while a target runs: thousands of inputs would write thousands of lines,
// which takes longer than reading the inputs. libFuzzer and replay_main.cpp call this first.
#include "fuzz/fuzz.h"
#include "tciafs/util/log.h"

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  const tciafs::LogOptions nowhere = {tciafs::LogOptions::Target::kFile, "/dev/null",
                                      tciafs::LogLevel::kError};
  FUZZ_REQUIRE(tciafs::ConfigureLog(nowhere));
  return 0;
}
