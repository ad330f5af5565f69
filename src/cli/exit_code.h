// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What the programs' exit codes mean (man/tciafs.1, EXIT STATUS), and a failure that carries one.
#pragma once

#include <string>
#include <utility>

#include "tciafs/util/result.h"

namespace tciafs::cli {

enum class ExitCode {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kCannotMount = 3,
  kArchive = 4,      // unreachable or refusing
  kCredentials = 5,  // missing or rejected
  kCache = 6,        // unusable
  kUnverified = 7,   // some of the data could not be verified
  kInterrupted = 130,
};

struct Failure {
  ExitCode code = ExitCode::kFailed;
  std::string message;  // one line, without the program's name
};

template <typename T>
using Outcome = tl::expected<T, Failure>;

inline tl::unexpected<Failure> FailWith(ExitCode code, std::string message) {
  return tl::unexpected<Failure>(Failure{code, std::move(message)});
}

}  // namespace tciafs::cli
