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
  const std::string& source = parsed->positional[0];
  const bool default_servers = source == "tcia" || source == "tcia:" || source == "none";
  Settings settings;
  if (!default_servers) settings.Add("server", {source, "SOURCE"});
  // `mount -a` sees that it is mounted by finding SOURCE in the mount table; without a colon the
  // usual tools would take it for a local file system.
  std::vector<std::string> words;
  if (source.find(':') != std::string::npos) words.push_back("fsname=" + source);
  words.insert(words.end(), parsed->words.begin(), parsed->words.end());
  return MountWith(parsed->positional[1], std::move(settings), words, parsed->sloppy);
}

}  // namespace tciafs::cli
