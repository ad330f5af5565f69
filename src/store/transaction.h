// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a transaction owns: the LMDB transaction, aborted unless it was committed. Once a change has
// failed LMDB will not commit the rest either, so the first failure is kept and told by Commit.
#pragma once

#include <lmdb.h>

#include <optional>

#include "tciafs/store/store.h"

namespace tciafs::store {

struct ReadTxn::Handle {
  explicit Handle(MDB_txn* begun) : txn(begun) {}
  ~Handle() {
    if (txn != nullptr) mdb_txn_abort(txn);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  MDB_txn* txn;
  std::optional<Error> failure;
};

}  // namespace tciafs::store
