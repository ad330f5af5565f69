// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Where AppArmor lets fusermount3 mount, read from its profile: what it does not like ends in a
// bare "Permission denied". Pure functions of files. Source: apparmor.d(5).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tciafs::cli {

struct FusermountProfile {
  std::vector<std::string> mountpoints;  // globs
};

// nullopt: there is no profile, or none that is enforced. Paths begin with `root`.
std::optional<FusermountProfile> ReadFusermountProfile(const std::string& root);

// `path` ends with a slash, as mount rules want it. Variables of the usual tunables are known; any
// other matches everything.
bool MatchesAppArmorGlob(std::string_view glob, std::string_view path);

}  // namespace tciafs::cli
