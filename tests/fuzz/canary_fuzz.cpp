// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// A target with two planted bugs: a promise that does not hold for input that begins with "TCIA",
// and a read beyond the end, which only a sanitizer sees, for input that begins with "OVER". If
// these are not found, no result of the other targets means anything.
#include "fuzz/fuzz.h"

namespace {

// One comparison after the other, as a parser's are: coverage leads a fuzzer from each to the next.
bool BeginsWith(std::string_view input, std::string_view wanted) {
  for (size_t i = 0; i < wanted.size(); ++i)
    if (i >= input.size() || input[i] != wanted[i]) return false;
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = tciafs::fuzz::TextOf(data, size);
  const bool is_tcia = BeginsWith(input, "TCIA");
  FUZZ_REQUIRE(!is_tcia);
  if (BeginsWith(input, "OVER")) {
    const volatile uint8_t* beyond = data + size;
    return *beyond == 0xa5 ? 0 : 0;
  }
  return 0;
}
