// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
#include "tciafs/http/transport.h"

namespace tciafs::http {

std::string ResponseHead::Header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_case_name) return value;
  return {};
}

}  // namespace tciafs::http
