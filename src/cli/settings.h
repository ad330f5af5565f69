// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// Settings as text, layered: command line over environment over the user's file over the system's.
// A layer that sets a name replaces all values of the layers below. Not thread-safe; plain data.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit_code.h"

namespace tciafs::cli {

struct SettingValue {
  std::string text;    // of a flag what FlagText says
  std::string origin;  // for messages: "--cache-size", "TCIAFS_CACHE_SIZE", "/etc/tciafs.conf:3"
};

// A flag that is off is a value too: it goes before one that is on in a layer below.
inline std::string FlagText(bool on) { return on ? "yes" : "no"; }

// One layer: option name → its values, in order.
class Settings {
 public:
  void Add(const std::string& name, SettingValue value) {
    values_[name].push_back(std::move(value));
  }
  // Takes from `lower` what is not set here.
  void Underlay(const Settings& lower);
  const std::vector<SettingValue>* Find(const std::string& name) const;
  std::optional<SettingValue> Last(const std::string& name) const;

 private:
  std::map<std::string, std::vector<SettingValue>> values_;
};

using Environment = std::function<const char*(const char*)>;

// `name = value` lines, `#` comments; a missing file is an empty layer, an unknown name an error,
// as is a file over kConfigFileBytesMax.
Outcome<Settings> ReadConfigFile(const std::string& path);
// All that is wrong with it, line by line; what is not wrong is the layer.
Settings ReadConfigLines(const std::string& path, std::vector<Failure>& problems);
Outcome<Settings> ReadEnvironment(const Environment& environment);

// The words after -o. Ours are settings; those of mount(8) that mean nothing to us are dropped,
// those for the kernel collected. Unknown words are an error unless `sloppy`.
struct MountWords {
  Settings settings;
  std::vector<std::string> kernel_options;
  bool nonempty = false;
  std::string fsname;
};
Outcome<MountWords> ParseMountWords(const std::vector<std::string>& arguments, bool sloppy);

}  // namespace tciafs::cli
