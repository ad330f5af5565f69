// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What `tciafs doctor` looks at. Each check tells what it found, good or bad, one finding a line; a
// bad one ends with the remedy. Nothing is changed, and no secret is part of a finding. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit_code.h"
#include "cli/mount_settings.h"
#include "cli/mountpoint.h"
#include "tciafs/util/result.h"

namespace tciafs::cli {

struct Finding {
  enum class Grade { kOk, kWarn, kFail };
  Grade grade = Grade::kOk;
  std::string text;
  ExitCode code = ExitCode::kDone;  // of a kFail

  static Finding Ok(std::string text) { return {Grade::kOk, std::move(text), ExitCode::kDone}; }
  static Finding Warn(const std::string& what, const std::string& remedy) {
    return {Grade::kWarn, what + ": " + remedy, ExitCode::kDone};
  }
  // `remedy` may be part of `what` already.
  static Finding Fail(ExitCode code, const std::string& what, const std::string& remedy) {
    return {Grade::kFail, remedy.empty() ? what : what + ": " + remedy, code};
  }
};
using Findings = std::vector<Finding>;

// The machine, or in a test a directory that looks like one.
struct Machine {
  const Caller& caller;
  std::string root;  // put before every path that is looked at

  std::string Path(std::string_view path) const { return root + std::string(path); }
};

// The device, the right to mount, and the helper that has it for others than root.
Findings CheckFuse(const Machine& machine);
Findings CheckAllowOther(const Machine& machine);
// Whether AppArmor lets fusermount3 mount there; nothing where it does not matter.
Findings CheckAppArmor(const Machine& machine, const std::string& mountpoint);
// A mountpoint on which nothing is mounted.
Findings CheckMountDirectory(const Machine& machine, const std::string& mountpoint,
                             bool allow_nonempty);
Findings CheckCrawlers(const Machine& machine, const std::string& mountpoint);
Findings CheckDescriptors();
// Of the caller's mounts, but for the one at `except`.
Findings CheckDeadMounts(const Caller& caller, const std::string& except);
Findings CheckRunningMount(const MountEntry& mount, const Caller& caller);

Findings CheckConfiguration(const Caller& caller);
// Files of secrets, the key, netrc.
Findings CheckSecrets(const MountSettings& settings, const Caller& caller);
// `mountpoint`: of the mount that may use it, if there is one or is meant to be.
Findings CheckCache(const MountSettings& settings, const std::string& mountpoint,
                    const Caller& caller);

// Asks each server for its collections; takes a bounded time.
Findings CheckServers(const MountSettings& settings, const Caller& caller);

// What asking a server once has shown.
struct ServerLook {
  std::string url;
  std::string proxy;    // without its secrets; "": none is used
  std::string account;  // "" for the guest
  bool sends_secret = false;
  std::string api;  // "" if that did not become clear
  std::optional<Error> error;
  size_t collections = 0;
  int64_t duration_ms = 0;
  std::optional<int64_t> date_unix_ms;  // what the server's clock said
  int64_t now_unix_ms = 0;
};
Findings DescribeServer(const ServerLook& look);

// What curl would make of the environment and --proxy for that URL.
std::string ProxyFor(const std::string& url, const MountSettings& settings, const Caller& caller);

// "NFS", or "" if it is none that is served over a network (or cannot be told).
std::string NetworkFileSystemAt(const std::string& path);

}  // namespace tciafs::cli
