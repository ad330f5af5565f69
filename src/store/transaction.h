// SPDX-License-Identifier: Apache-2.0
// Copyright the tciafs authors
//
// What a transaction owns: the LMDB transaction, aborted unless it was committed. Once a change has
// failed LMDB will not commit the rest either, so the first failure is kept and told by Commit.
#pragma once

#include <lmdb.h>

#include <atomic>
#include <optional>
#include <string_view>

#include "tciafs/store/store.h"

namespace tciafs::store {

struct ReadTxn::Handle {
  Handle(MDB_txn* begun, std::atomic<bool>& environment_damaged)
      : txn(begun), damaged(environment_damaged) {}
  ~Handle() {
    if (txn != nullptr) mdb_txn_abort(txn);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  // The error of a call; notes it if it tells of damage.
  Error ErrorOf(int code, std::string_view context);

  MDB_txn* txn;
  std::atomic<bool>& damaged;
  std::optional<Error> failure;
};

}  // namespace tciafs::store
