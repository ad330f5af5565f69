// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Mountpoints seen from outside: what the kernel's mount table says, and whether a directory can
// take a mount. Never touches the inside of a mount, which may be dead or slow. Source of the
// table's form: proc(5), /proc/[pid]/mountinfo.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit_code.h"

namespace tciafs::cli {

struct MountEntry {
  std::string mountpoint;
  std::string type;        // "fuse.tciafs"
  std::string source;      // the fsname
  uint32_t owner_uid = 0;  // who mounted it, for FUSE
};

std::vector<MountEntry> ParseMountTable(const std::string& mountinfo);
std::vector<MountEntry> ReadMountTable();

// The topmost mount there, if it is ours (or, with `any_type`, whatever it is).
std::optional<MountEntry> FindMount(const std::string& absolute_path, bool any_type = false);

// The absolute path of a mountpoint, without looking at the mount itself.
std::string ResolveMountpoint(const std::string& path);

// Unmounts: 0, or an errno. Root does it by itself, others through the setuid fusermount3.
int DetachMount(const std::string& mountpoint, uint32_t caller_uid, bool lazily);

// Exists, is a directory, is empty unless allowed, is neither mounted already nor a dead mount.
Outcome<std::string> CheckMountpoint(const std::string& path, bool allow_nonempty);

}  // namespace tciafs::cli
