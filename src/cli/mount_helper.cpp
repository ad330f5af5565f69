// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/mount_helper.h"

#include <cstdio>

namespace tciafs::cli {
namespace {

struct HelperArguments {
  std::vector<std::string> positional;
  std::vector<std::string> words;
  bool sloppy = false;  // -s: tolerate options we do not know
  bool fake = false;    // -f: everything but the mount
};

Outcome<HelperArguments> Parse(const std::vector<std::string>& arguments) {
  HelperArguments parsed;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const bool has_value = i + 1 < arguments.size();
    if (argument == "-o" && has_value)
      parsed.words.push_back(arguments[++i]);
    else if ((argument == "-t" || argument == "-N") && has_value)
      ++i;
    else if (argument == "-s")
      parsed.sloppy = true;
    else if (argument == "-f")
      parsed.fake = true;
    else if (argument == "-v" || argument == "-n")
      continue;
    else if (argument.starts_with("-"))
      return FailWith(ExitCode::kUsage, "unknown option " + argument);
    else
      parsed.positional.push_back(argument);
  }
  if (parsed.positional.size() != 2)
    return FailWith(ExitCode::kUsage, "usage: mount.tciafs SOURCE MOUNTPOINT [-o opt[,opt...]]");
  return parsed;
}

}  // namespace

ExitCode RunMountHelper(const std::vector<std::string>& arguments) {
  const auto parsed = Parse(arguments);
  if (!parsed) {
    std::fprintf(stderr, "mount.tciafs: %s\n", parsed.error().message.c_str());
    return parsed.error().code;
  }
  if (parsed->fake) return ExitCode::kDone;
  Settings settings;
  if (const std::string& source = parsed->positional[0]; source != "tcia" && source != "none")
    settings.Add("server", {source, "SOURCE"});
  return MountWith(parsed->positional[1], std::move(settings), parsed->words, parsed->sloppy);
}

}  // namespace tciafs::cli
