// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// How an entry is called in messages: its number and its name, the name made printable and short,
// since it is raw bytes from outside. Pure function.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tciafs::zip {

// "entry 12 'a/1-001.dcm'"; the number counts from 1.
std::string EntryLabel(uint64_t number, std::string_view name);

}  // namespace tciafs::zip
