// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// From a path inside the mount to the object of the archive it names, asking the archive where the
// catalog does not know. Blocks.
#pragma once

#include <stop_token>
#include <string_view>

#include "tciafs/catalog/catalog.h"

namespace tciafs::control {

// "/" or "" is the root. kNotFound, kNotDirectory (something below an instance), those of
// catalog::Catalog.
Result<catalog::ObjectPath> Resolve(catalog::Catalog& catalog, std::string_view path,
                                    std::stop_token stop);

// The listing of a directory, and the path of one of its entries.
Result<catalog::ListAnswer> ListAwait(catalog::Catalog& catalog,
                                      const catalog::ObjectPath& directory, std::stop_token stop);
Result<catalog::ObjectPath> PathOf(const catalog::ObjectPath& directory,
                                   const catalog::Entry& entry);

}  // namespace tciafs::control
