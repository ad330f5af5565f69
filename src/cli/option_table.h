// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The options of `tciafs mount`, once: parsing, --help, configuration files, the environment, `-o`
// words and the check of man/tciafs.1 all read this table. Constant data.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace tciafs::cli {

struct OptionSpec {
  const char* name;          // as in --name, in files, and after -o (where _ may stand for -)
  const char* value;         // what --help calls the value; "" for a flag
  const char* default_text;  // "" if there is none worth telling
  const char* help;
  bool repeatable = false;
  const char* short_flag = "";
};

std::span<const OptionSpec> MountOptionTable();
const OptionSpec* FindMountOption(std::string_view name);

// TCIAFS_CACHE_DIR for cache-dir.
std::string EnvironmentName(const OptionSpec& option);

}  // namespace tciafs::cli
