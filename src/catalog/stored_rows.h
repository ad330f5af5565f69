// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// The rows below a directory, read from one state of the store: a directory's rows are one range of
// the table, so a walk down is one range within another. Studies have no rows of their own in any
// archive's answer: their first series tells of them. Rows that do not decode are passed over.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "catalog/directory_store.h"

namespace tciafs::catalog {

class StoredRows final : public RowReader {
 public:
  // `store` is kept alive.
  StoredRows(std::shared_ptr<CatalogStore> store, store::ReadTxn txn, ObjectPath directory,
             const DirectoryKey& key, Level level);
  Status ForEach(const Visitor& visit) const override;

 private:
  class Pass;

  const std::shared_ptr<CatalogStore> store_;
  const store::ReadTxn txn_;
  const ObjectPath directory_;
  const DirectoryKey key_;
  const Level level_;
};

}  // namespace tciafs::catalog
