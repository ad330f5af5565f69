// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The settings of a mount, checked and typed. Plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/settings.h"
#include "tciafs/fuse/session.h"
#include "tciafs/nbia/nbia_source.h"
#include "tciafs/util/log.h"
#include "tciafs/vfs/filesystem.h"

namespace tciafs::cli {

inline constexpr const char* kMainServer = "https://nbia.cancerimagingarchive.net/nbia-api";
inline constexpr const char* kNlstServer = "https://nlst.cancerimagingarchive.net/nbia-api";

struct MountSettings {
  std::string mountpoint;
  std::vector<std::string> servers;
  nbia::ApiFamily api = nbia::ApiFamily::kAuto;
  std::string credentials_file;
  std::string api_key_file;
  std::string cache_dir;
  bool cache_dir_given = false;  // by an option, the environment or a file
  bool cache_as_it_is = false;   // to be looked at or cleared, not filled: its limits do not count
  int64_t cache_bytes_max = 0;   // 0: decide from the free space
  int64_t min_free_bytes = 0;
  int min_free_percent = 5;
  int64_t metadata_ttl_ms = 0;
  bool offline = false;
  bool passthrough = true;
  vfs::UnknownSize unknown_size = vfs::UnknownSize::kEstimate;
  fuse::AskOpen ask_open = fuse::AskOpen::kFiles;
  std::vector<std::string> programs_kept_out;
  int downloads = 2;
  int connections = 8;
  int64_t io_timeout_ms = 0;
  std::string proxy;
  std::string ca_file;
  bool allow_other = false;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t umask = 022;
  bool foreground = false;
  LogLevel log_level = LogLevel::kInfo;
  std::string log_file;
  std::vector<std::string> kernel_options;
  bool nonempty = false;
  std::string fsname;
};

// What the process is, for defaults; injected so that tests can choose.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
  Environment environment;
};

Outcome<MountSettings> CheckSettings(const Settings& settings, const Caller& caller);

// All layers together: what the command line gave, its -o words, the environment, the files.
Outcome<MountSettings> GatherSettings(Settings given, const std::vector<std::string>& words,
                                      bool sloppy, const Caller& caller);

// kUsage: what is to be written would lie in the mountpoint, where nothing can be.
Outcome<void> CheckPlaces(const MountSettings& settings);

// Host (with port, if any) of a server root, "" if the URL is none.
std::string HostOf(const std::string& url);

// Where the user's and the system's configuration files stand.
std::vector<std::string> ConfigFilePaths(const Caller& caller);

}  // namespace tciafs::cli
