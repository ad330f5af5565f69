// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// One stored entry of a directory: a head with what a listing needs, and behind it, untouched while
// listing, what the archive said of the object. Pure functions; a row that does not decode is
// nullopt and counts as not there.
//
// Row:        format byte 1 | flags byte | [modified_s] [size_bytes] [version]
//             [missing_since_ms] | attributes
// Attributes: count | per attribute: name code (0: a literal name follows) | (n << 3 | number << 2
// |
//             kind), kind 0: n bytes of text follow; 1: the 8-byte key of a shared text follows;
//             2: the n-th id of the path
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tciafs/catalog/catalog.h"
#include "tciafs/catalog/limits.h"
#include "tciafs/source/records.h"

namespace tciafs::catalog {

struct RowHead {
  int64_t modified_s = 0;
  int64_t size_bytes = -1;
  source::SeriesVersion version;
  int64_t missing_since_ms = 0;  // unix; the first of the answers that lacked it; 0: it is listed
};

std::string EncodeRow(const RowHead& head, std::string_view attributes = {});
// `attributes`, if given, receives the encoded attributes (a view into `row`).
std::optional<RowHead> DecodeRow(std::string_view row, std::string_view* attributes = nullptr);

// Texts many rows share (licences, scanners), by key. The key is seeded per server, so that one
// server's texts cannot collide with another's.
using SharedTexts = std::map<std::string, std::string>;
using FindSharedText = std::function<std::optional<std::string>(std::string_view key)>;

std::string EncodeAttributes(const source::Attributes& attributes, const ObjectPath& path,
                             uint64_t seed, SharedTexts& shared);
std::optional<source::Attributes> DecodeAttributes(std::string_view bytes, const ObjectPath& path,
                                                   const FindSharedText& find_shared);

// True of what describes the study or the patient rather than one series of it.
bool IsStudyLevel(std::string_view attribute_name);

}  // namespace tciafs::catalog
