// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Archive ids as file names, reversibly: `/`, `%`, NUL and other control characters and a leading
// dot are percent-encoded, everything else is kept as the archive spells it. Two ids never share a
// name. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tciafs/catalog/limits.h"

namespace tciafs::catalog {

inline constexpr std::string_view kInstanceSuffix = ".dcm";

std::string EncodeName(std::string_view id);
// nullopt if no id is written so (a bad escape, or a spelling EncodeName would not have chosen).
std::optional<std::string> DecodeName(std::string_view name);

std::string InstanceName(std::string_view sop_uid);  // "<encoded uid>.dcm"
std::optional<std::string> DecodeInstanceName(std::string_view name);

}  // namespace tciafs::catalog
