// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The extended attributes user.tcia.*: of an instance, whether it is here and how its size is
// known; of a directory, the row the archive has of it; of both, why the last attempt failed. What
// Linux could not carry (names over 255 bytes, values over 64 KiB, a list over 64 KiB) is left out,
// never cut. Thread-safe; never touches the network.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vfs/context.h"

namespace tciafs::vfs {

inline constexpr std::string_view kUserXattrPrefix = "user.";
inline constexpr std::string_view kXattrPrefix = "user.tcia.";

// Letters, digits, '_', '-' and '.' stay, all else goes: "" if nothing stays.
std::string XattrNameOf(std::string_view attribute);

using Xattrs = std::vector<std::pair<std::string, std::string>>;  // full names, unique
Xattrs DirectoryXattrs(const source::Attributes& attributes, const std::string& error);

// Of a name that does not begin with kXattrPrefix.
Error ForeignXattr(std::string_view name);
Result<std::string> GetNodeXattr(const Context& context, NodeId node, std::string_view name);
Result<std::vector<std::string>> ListNodeXattr(const Context& context, NodeId node);

}  // namespace tciafs::vfs
