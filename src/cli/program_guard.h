// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Which programs may start downloads: indexers, thumbnailers and virus scanners read every file
// they find, and would fetch the whole archive. They may look at names and read what is cached
// already; what would be downloaded for them is refused. Programs are told by name: the file they
// run, or what they call themselves (proc(5), /proc/PID/exe and comm; the kernel keeps 15 bytes of
// that). A program that cannot be looked at, as one in another PID namespace, may.
//
// Thread-safe. Copies share their state.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tciafs/util/result.h"

namespace tciafs::cli {

// Names separated by ':' or ','; "default" stands for the usual ones, "none" for no program.
Result<std::vector<std::string>> ParsePrograms(const std::string& text);
std::vector<std::string> ProgramsKeptOut();  // by default

class ProgramGuard {
 public:
  // `proc` is where the kernel tells of processes.
  explicit ProgramGuard(std::vector<std::string> names, std::string proc = "/proc");

  // kNotForProgram where the process (or thread) is one of the programs. Logs each process once.
  Status Check(int64_t pid, const std::string& path) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace tciafs::cli
