// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "file_bytes.h"

#include <fstream>
#include <sstream>

namespace tciafs::archive {

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Fail(Errc::kNotFound, path + ": cannot be read");
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace tciafs::archive
