// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The key of a directory in the catalog's tables: 128 bits of XXH3, chained from the key of the
// parent and the raw id of the child; the root of a server is the hash of its scope. So a key needs
// no allocation, is the same in every mount, and keeps servers and accounts apart. Plain data.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <string_view>

#include "tciafs/catalog/catalog.h"

namespace tciafs::catalog {

inline constexpr size_t kDirectoryKeyBytes = 16;

struct DirectoryKey {
  std::array<char, kDirectoryKeyBytes> bytes{};
  std::string_view view() const { return {bytes.data(), bytes.size()}; }
  friend bool operator==(const DirectoryKey&, const DirectoryKey&) = default;
  // As the store sorts them, bytes without sign.
  friend auto operator<=>(const DirectoryKey& a, const DirectoryKey& b) {
    return a.view() <=> b.view();
  }
};

DirectoryKey RootKey(std::string_view scope);
DirectoryKey ChildKey(const DirectoryKey& parent, std::string_view id);
// The directory `path` names, below the root of its server.
DirectoryKey KeyOf(const DirectoryKey& root, const ObjectPath& path);
// The directory that lists `path`; the root's is the root.
ObjectPath ParentOf(const ObjectPath& path);
// The name under which `path` is listed there; "" for the root.
std::string NameOf(const ObjectPath& path);

}  // namespace tciafs::catalog
