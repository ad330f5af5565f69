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

// Whether the process that served it has gone. Asks for its free space: what was looked at before,
// the kernel goes on answering by itself.
bool IsDeadMount(const std::string& mountpoint);

// The absolute path of a mountpoint, without looking at the mount itself.
std::string ResolveMountpoint(const std::string& path);

// Unmounts: 0, or an errno. Root does it by itself, others through the setuid fusermount3.
int DetachMount(const std::string& mountpoint, uint32_t caller_uid, bool lazily);

// Exists, is a directory, is empty unless allowed, is neither mounted already nor a dead mount; or
// is a device handed over, which programs that we start then do not inherit.
Outcome<std::string> CheckMountpoint(const std::string& path, bool allow_nonempty);

// Whether a path, which need not exist, is a directory's or lies in it. Not to be asked of a mount.
bool IsInside(const std::string& path, const std::string& directory);

// The N of /dev/fd/N: a /dev/fuse that somebody has already mounted with and handed over (to a
// container, say). Such a mount is not ours to detach, or to find by its place.
std::optional<int> HandedOverDevice(const std::string& path);

}  // namespace tciafs::cli
