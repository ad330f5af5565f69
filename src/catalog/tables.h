// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The tables of the catalog's store, in the order they are opened in.
//
//   entries   directory key + encoded name → row (catalog/row.h); one range scan is one directory
//   listings  directory key → listing state (catalog/listing_state.h)
//   texts     8-byte key → a text many rows share
//   staging   4-byte number of a bulk + 4-byte number of a run + directory key + name → row, or,
//             under the empty name, which directory it is; emptied when the catalog opens
//   meta      "schema" → kSchemaVersion; "memory/" + key → value; "removed/" + level +
//             directory key → "", a directory to be cleared with all below
#pragma once

#include <string>
#include <vector>

#include "tciafs/store/store.h"

namespace tciafs::catalog {

inline constexpr const char* kSchemaVersion = "1";

enum class CatalogTable : size_t { kEntries, kListings, kTexts, kStaging, kMeta };

inline std::vector<std::string> CatalogTableNames() {
  return {"entries", "listings", "texts", "staging", "meta"};
}

inline store::Table TableOf(const store::Environment& environment, CatalogTable table) {
  return environment.table(static_cast<size_t>(table));
}

}  // namespace tciafs::catalog
