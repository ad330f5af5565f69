// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "cli/option_table.h"

#include <algorithm>
#include <cctype>

namespace tciafs::cli {
namespace {

constexpr OptionSpec kOptions[] = {
    {"server", "URL", "TCIA's main server and its NLST server",
     "root of an NBIA archive, such as https://nbia.cancerimagingarchive.net/nbia-api", true},
    {"api", "auto|v4|v2|v1", "auto", "family of the NBIA REST API to speak"},
    {"credentials", "FILE", "", "user name and password per server; must be readable by you alone"},
    {"api-key-file", "FILE", "", "key for servers that want the api_key header"},
    {"cache-dir", "DIR", "$XDG_CACHE_HOME/tciafs, for root /var/cache/tciafs",
     "where images and listings are kept"},
    {"cache-size", "SIZE", "50G, or half the free space if that is less",
     "most that images may take on disk (suffixes K, M, G, T)"},
    {"min-free", "SIZE|N%", "5%", "never take the disk below this much free space"},
    {"metadata-ttl", "DURATION", "6h", "how long a listing counts as fresh (30s, 10m, 6h, 7d)"},
    {"offline", "", "", "never use the network"},
    {"unknown-size", "estimate|fetch|zero", "estimate",
     "what stat says where the archive tells no exact size"},
    {"ask-open", "all|files|none", "files",
     "what the kernel asks to open; what it does not is read faster (see the manual)"},
    {"no-fetch-for", "NAME:...|none", "the usual indexers, thumbnailers and virus scanners",
     "programs that may look but not start downloads ('default' adds to the usual ones)"},
    {"downloads", "N", "2", "series downloaded at once, per server"},
    {"connections", "N", "8", "connections at once, per server"},
    {"io-timeout", "DURATION", "60s", "no progress for this long ends an operation"},
    {"passthrough", "auto|off", "auto",
     "let the kernel read cached files by itself where it can, for speed"},
    {"proxy", "URL", "the environment's", "proxy for all servers; NO_PROXY is honoured"},
    {"cacert", "FILE", "the system's", "certificates to trust, in PEM"},
    {"allow-other", "", "", "let other users see the mount (user_allow_other in /etc/fuse.conf)"},
    {"uid", "N", "yours", "owner shown for every file"},
    {"gid", "N", "yours", "group shown for every file"},
    {"umask", "OCTAL", "022", "permission bits taken away"},
    {"foreground", "", "", "stay in the foreground and log to standard error", false, "-f"},
    {"log-level", "debug|info|warning|error", "info", "how much is logged"},
    {"log-file", "FILE", "syslog; in the foreground standard error", "append the log to this file"},
};

}  // namespace

std::span<const OptionSpec> MountOptionTable() { return kOptions; }

const OptionSpec* FindMountOption(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kOptions), std::end(kOptions),
                   [name](const OptionSpec& option) { return option.name == name; });
  return found == std::end(kOptions) ? nullptr : found;
}

std::string EnvironmentName(const OptionSpec& option) {
  std::string name = "TCIAFS_";
  for (const char c : std::string_view(option.name))
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

}  // namespace tciafs::cli
